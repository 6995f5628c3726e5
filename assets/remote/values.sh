# Values that are no files of their own: fields of an account, rules of the packet filter. Each is written down before it
# is changed, never a password's hash, and an undo sets it back only where nobody changed it since. Shared by scripts.

# One value now: expire, lastchg, shell or lock of a user; rule of the packet filter (ADDRESS,PORT).
value() {
  case $1 in
    expire) v=$(awk -F: -v u="$2" '$1 == u { print $8; exit }' /etc/shadow) ;;
    lastchg) v=$(awk -F: -v u="$2" '$1 == u { print $3; exit }' /etc/shadow) ;;
    shell) v=$(awk -F: -v u="$2" '$1 == u { print $7; exit }' /etc/passwd) ;;
    # Only what stands there without a password; anything else is nobody's business.
    lock) v=$(awk -F: -v u="$2" '$1 == u { print ($2 ~ /^(!|!!|!\*|\*)$/) ? $2 : "password"; exit }' /etc/shadow) ;;
    iptables|ip6tables) if t 5 "$1" -C INPUT $(fw_args "$2") 2>/dev/null; then v=there; else v=; fi ;;
    nft:*) if [ -n "$(nft_handle "$1")" ]; then v=there; else v=; fi ;;
    ufw) if t 10 ufw status 2>/dev/null | grep -qF "# $P22_TOKEN"; then v=there; else v=; fi ;;
    firewalld) if t 10 firewall-cmd --query-rich-rule="$(fw_rich "$2")" >/dev/null 2>&1; then v=there; else v=; fi ;;
  esac
  say "${v:--}"
}
set_value() {
  case $1 in
    expire) s_new=$3; [ "$s_new" != - ] || s_new=-1; chage -E "$s_new" "$2" ;;
    lastchg) s_new=$3; [ "$s_new" != - ] || s_new=-1; chage -d "$s_new" "$2" ;;
    shell) usermod -s "$3" "$2" ;;
    lock) usermod -p "$3" "$2" ;;
    iptables|ip6tables) if [ "$3" = there ]; then t 5 "$1" -I INPUT 1 $(fw_args "$2"); else t 5 "$1" -D INPUT $(fw_args "$2"); fi ;;
    nft:*)
      if [ "$3" = there ]; then
        t 5 nft insert rule $(nft_chain "$1") $(fw_family "$2") saddr "${2%,*}" tcp dport "${2#*,}" accept comment "\"$P22_TOKEN\""
      else
        t 5 nft delete rule $(nft_chain "$1") handle "$(nft_handle "$1")"
      fi ;;
    ufw)
      if [ "$3" = there ]; then
        t 20 ufw prepend allow proto tcp from "${2%,*}" to any port "${2#*,}" comment "$P22_TOKEN" ||
          t 20 ufw insert 1 allow proto tcp from "${2%,*}" to any port "${2#*,}" comment "$P22_TOKEN"
      else
        t 20 ufw --force delete allow proto tcp from "${2%,*}" to any port "${2#*,}"
      fi ;;
    firewalld)
      o=--add-rich-rule; [ "$3" = there ] || o=--remove-rich-rule
      t 20 firewall-cmd "$o=$(fw_rich "$2")" && t 20 firewall-cmd --permanent "$o=$(fw_rich "$2")" ;;
  esac >/dev/null 2>&1 </dev/null
}
fw_family() { case $1 in *:*) say ip6 ;; *) say ip ;; esac; }
fw_args() { say "-s ${1%,*} -p tcp --dport ${1#*,} -m comment --comment $P22_TOKEN -j ACCEPT"; }
fw_rich() {
  f=ipv4; case $1 in *:*) f=ipv6 ;; esac
  say "rule family=\"$f\" source address=\"${1%,*}\" port port=\"${1#*,}\" protocol=\"tcp\" accept"
}
# nft:FAMILY:TABLE:CHAIN in words, and the handle of our own rule in it.
nft_chain() { say "${1#nft:}" | tr : ' '; }
nft_handle() { t 5 nft -a list chain $(nft_chain "$1") 2>/dev/null | awk -v c="comment \"$P22_TOKEN\"" 'index($0, c) { print $NF; exit }'; }
# Name, of whom, new value.
change_value() {
  o=$(value "$1" "$2")
  if [ "$o" = "$3" ]; then return 0; fi
  mkdir -p "$D" 2>/dev/null || finish fail "no-backup"
  l="$1 $2 $o $3"
  printf '%s\n' "$l" >>"$D/values" 2>/dev/null && [ "$(tail -n 1 "$D/values")" = "$l" ] || give_up "no-backup"
  say "before $1 $o $2"
  set_value "$1" "$2" "$3"
  [ "$(value "$1" "$2")" = "$3" ] || give_up "cannot-set $1 $2"
  did "value $1 $2 $o $3"
}
# Whether nobody changed a value since.
values_same() {
  [ -r "$D/values" ] || return 0
  while read -r n w o new; do
    c=$(value "$n" "$w")
    if [ "$c" != "$new" ] && [ "$c" != "$o" ]; then say "left $n $w"; return 1; fi
  done <"$D/values"
}
values_back() {
  [ -r "$D/values" ] || return 0
  r=0
  sed -n '1!G;h;$p' "$D/values" >"$D/values.back"
  while read -r n w o new; do
    if [ "$(value "$n" "$w")" = "$o" ]; then continue; fi
    set_value "$n" "$w" "$o"
    if [ "$(value "$n" "$w")" = "$o" ]; then did "back $n of $w"; else say "left $n $w"; r=1; fi
  done <"$D/values.back"
  return $r
}
