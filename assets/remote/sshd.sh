# Makes sshd run and let one user in: what keeps it from starting is made or disabled, and a test by sshd itself
# (sshd -t) goes before every start and reload. Nothing is guessed: a line that sshd cannot read is disabled.
# Set by the caller: P22_USER, P22_ADDR (may be empty), P22_PORT, P22_OWN (address of the instance), P22_LET (yes or no:
# whether what keeps this one user out is overridden for this user), P22_FW (yes or no: whether the system's own packet
# filter is to let this address pass at the port).

begin
U=$P22_USER; P=$P22_PORT; CONF=/etc/ssh/sshd_config
[ -n "$SSHD" ] || finish fail "not-installed"
plain "$CONF"
[ -d /etc/ssh ] || finish fail "not-installed"
# The port belongs to another program: it is named, not ended.
O=$(listeners | awk -v p="$P" '$2 == p && $3 !~ /^(sshd|systemd|init|\?)$/ { print $3; exit }')
[ -z "$O" ] || finish fail "port-in-use $O"
CHANGED=no
write() { note "$1" "f:$(look "$1" | cut -d' ' -f1-3 | tr ' ' :):$(sum "$D/new")"; cat "$D/new" >"$1" 2>/dev/null; [ "$(sum "$1")" = "$(sum "$D/new")" ] || give_up "cannot-write $1"; rm -f "$D/new"; }
own_file() { plain "$1"; [ "$(kind "$1")" = f ] || give_up "not-a-file $1"; lift "$1"; keep "$1" c; }

# ---- what keeps it from starting ----
bad_line() {
  own_file "$1"
  k=$(sed -n "$2s/^[[:space:]]*\([A-Za-z0-9]*\).*/\1/p" "$1" | tr '[:upper:]' '[:lower:]')
  [ -n "$k" ] || give_up "config-error $1:$2"
  s=
  case $k in
    # Without such a line more people would be let in, or to more places.
    match|include|allowusers|denyusers|allowgroups|denygroups|authenticationmethods|forcecommand|chrootdirectory|revokedkeys|trustedusercakeys) give_up "restricts $1:$2 $k" ;;
    # The default may let in more people than was meant: the strict value stands in.
    passwordauthentication|kbdinteractiveauthentication|challengeresponseauthentication|permitemptypasswords|hostbasedauthentication|gssapiauthentication|kerberosauthentication|allowtcpforwarding|allowagentforwarding|allowstreamlocalforwarding|x11forwarding|gatewayports|permittunnel|permituserenvironment|permituserrc) s="$k no" ;;
    permitrootlogin) s="$k no"; [ "$U" != root ] || s="$k prohibit-password" ;;
    disableforwarding|strictmodes|usepam|ignorerhosts) s="$k yes" ;;
  esac
  awk -v n="$2" -v s="$s" -v w="# disabled by port22 ($P22_TOKEN): " '{ if (NR == n) { print w $0; if (s != "") print s } else print }' "$1" >"$D/new" || give_up "no-backup"
  write "$1"; CHANGED=yes
  did "line-disabled $1:$2 $k${s:+ -> $s}"
}
host_keys() {
  has ssh-keygen || give_up "no-ssh-keygen"
  for k in rsa ecdsa ed25519; do
    f=/etc/ssh/ssh_host_${k}_key
    # A key that cannot be read is kept aside; one that can is left alone.
    if [ -s "$f" ] && ssh-keygen -y -P '' -f "$f" >/dev/null 2>&1; then continue; fi
    case $(kind "$f") in -) ;; f) lift "$f" ;; *) give_up "not-a-file $f" ;; esac
    keep "$f" c; keep "$f.pub" c
    [ ! -e "$f" ] || rm -f "$f" "$f.pub" || give_up "cannot-write $f"
  done
  t 120 ssh-keygen -A >/dev/null 2>&1
  for k in rsa ecdsa ed25519; do
    f=/etc/ssh/ssh_host_${k}_key
    if [ -s "$f" ] && grep -qxF "$f" "$D/made" 2>/dev/null; then continue; fi
    awk -v p="$f" '$8 == p { x = 1 } END { exit !x }' "$D/before" && [ -s "$f" ] || continue
    relabel "$f"; say "$f" >>"$D/made"
    did "host-key $f $(ssh-keygen -lf "$f.pub" 2>/dev/null | cut -d' ' -f2)"
  done
  # Keys that the configuration names elsewhere.
  for f in $(sed -n 's/^[[:space:]]*[Hh][Oo][Ss][Tt][Kk][Ee][Yy][[:space:]=][[:space:]]*\(\/[^[:space:]"]*\).*/\1/p' $CONF /etc/ssh/sshd_config.d/*.conf 2>/dev/null); do
    plain "$f"
    if [ -e "$f" ] || [ ! -d "$(dirname "$f")" ]; then continue; fi
    case $f in *ed25519*) k=ed25519 ;; *ecdsa*) k=ecdsa ;; *rsa*) k=rsa ;; *) continue ;; esac
    keep "$f" c; keep "$f.pub" c
    ssh-keygen -q -t "$k" -N '' -f "$f" </dev/null >/dev/null 2>&1 || give_up "cannot-make $f"
    did "host-key $f $(ssh-keygen -lf "$f.pub" 2>/dev/null | cut -d' ' -f2)"
  done
}
mend() {
  b=$CHANGES
  f=$(say "$X" | sed -n 's/^\(\/[^: ]*\):\{0,1\} line \([0-9][0-9]*\):.*/\2 \1/p' | sed -n 1p)
  if [ -n "$f" ]; then bad_line "${f#* }" "${f%% *}"; return; fi
  f=$(say "$X" | sed -n 's/.*[Mm]issing privilege separation directory: //p' | sed -n 1p)
  if [ -n "$f" ]; then plain "$f"; made_dir "$f" 755 0:0; relabel "$f"; return; fi
  f=$(say "$X" | sed -n 's/^\(\/[^ ]*\) must be owned by root and not group or world-writable.*/\1/p' | sed -n 1p)
  if [ -n "$f" ]; then
    plain "$f"; set -- $(look "$f")
    [ "$2" = 0 ] || give 0:0 "$f"
    [ $((0$1 & 022)) = 0 ] || chmode go-w "$f"
    [ $CHANGES != $b ] || give_up "config-error $f"
    return
  fi
  f=$(say "$X" | sed -n "s/^Permissions 0[0-7]* for '\(.*\)' are too open.*/\1/p")
  if [ -n "$f" ]; then for one in $f; do plain "$one"; chmode go-rwx "$one"; done; return; fi
  case $X in
    *"no hostkeys available"*) host_keys ;;
    *"$CONF: No such file or directory"*)
      keep "$CONF" c; f=
      for one in /usr/share/openssh/sshd_config /usr/share/doc/openssh-server/examples/sshd_config /etc/ssh/sshd_config.ucf-dist /etc/ssh/sshd_config.rpmnew; do if [ -s "$one" ]; then f=$one; break; fi; done
      [ -n "$f" ] || give_up "no-config"
      cat "$f" >"$CONF" && chmod 644 "$CONF" || give_up "cannot-write $CONF"
      relabel "$CONF"; CHANGED=yes
      did "made $CONF from $f" ;;
    *"AuthorizedKeysCommand set without AuthorizedKeysCommandUser"*)
      f=$(grep -inE '^[[:space:]]*AuthorizedKeysCommand[[:space:]=]' $CONF /etc/ssh/sshd_config.d/*.conf /dev/null 2>/dev/null | sed -n '1s/^\([^:]*\):\([0-9]*\):.*/\2 \1/p')
      [ -n "$f" ] || give_up "config-error"
      bad_line "${f#* }" "${f%% *}" ;;
  esac
  [ $CHANGES != $b ] || give_up "config-error $(say "$X" | tr -cd ' -~\n' | grep -v '^@' | sed -n 1p | cut -c1-160)"
}
test_config() {
  X=; n_try=0
  while ! X=$(t 20 "$SSHD" -t 2>&1); do
    n_try=$((n_try + 1)); X=$(say "$X" | tr -d '\r')
    [ $n_try -le 12 ] || give_up "config-error $(say "$X" | sed -n 1p | tr -cd ' -~' | cut -c1-160)"
    mend
  done
}
test_config
if [ -e /etc/ssh/sshd_not_to_be_run ]; then own_file /etc/ssh/sshd_not_to_be_run; rm -f /etc/ssh/sshd_not_to_be_run; did "removed /etc/ssh/sshd_not_to_be_run"; fi
for f in /etc/systemd/system/ssh.service /etc/systemd/system/sshd.service /run/systemd/system/ssh.service /run/systemd/system/sshd.service; do
  if [ -L "$f" ] && [ "$(readlink "$f")" = /dev/null ]; then lift "$(dirname "$f")"; keep "$f"; rm -f "$f" || give_up "cannot-write $f"; did "unmasked $f"; fi
done

# ---- a file that keeps everybody but root out ----
BUSY=no
if [ $INIT = systemd ]; then case $(t 5 systemctl is-system-running 2>/dev/null) in initializing|starting|stopping) BUSY=yes ;; esac; fi
if [ -e /run/systemd/shutdown/scheduled ]; then BUSY=yes; fi
for f in /etc/nologin /run/nologin; do
  [ -e "$f" ] && [ "$U" != root ] || continue
  if [ $BUSY = yes ]; then say "note left $f"; continue; fi
  own_file "$f"; rm -f "$f" || give_up "cannot-write $f"; did "removed $f"
done

# ---- where it listens, and whom it lets in ----
T=$(t 20 "$SSHD" -T -C "user=${U:-root},host=${P22_ADDR:-localhost},addr=${P22_ADDR:-127.0.0.1}" 2>/dev/null)
all() { say "$T" | awk -v k="$1" '$1 == k { $1 = ""; sub(/^ /, ""); print }'; }
GLOBAL=; BLOCK=; BOUND=no
NL='
'
if [ -n "$T" ] && [ -n "$P" ]; then
  if ! all port | grep -qx "$P"; then
    for one in $(all port); do GLOBAL="${GLOBAL}Port $one$NL"; done
    GLOBAL="${GLOBAL}Port $P$NL"
  fi
  # An address that was chosen stays; the instance's own is added.
  A=$(all listenaddress | sed 's/:[0-9]*$//' | tr -d '[]' | sort -u)
  if [ -n "$A" ] && ! say "$A" | grep -qxF -e 0.0.0.0 -e :: -e "${P22_OWN:-none}"; then
    if [ -n "${P22_OWN:-}" ] && { ip -o addr show 2>/dev/null || ifconfig -a 2>/dev/null; } | grep -qE "[ :]$P22_OWN([/ ]|\$)"; then
      GLOBAL="${GLOBAL}ListenAddress $P22_OWN$NL"
    else
      # The interface is not known by that address: then all, as without such lines.
      for f in $CONF /etc/ssh/sshd_config.d/*.conf; do
        n=$(grep -inE '^[[:space:]]*ListenAddress[[:space:]=]' "$f" 2>/dev/null | cut -d: -f1)
        for one in $n; do bad_line "$f" "$one"; done
      done
      BOUND=yes
    fi
  fi
fi
if [ -n "$T" ] && [ "$P22_LET" = yes ] && [ -n "$U" ] && [ "$U" != root ] && id -u "$U" >/dev/null 2>&1; then
  # Words of a list that name the user, from this address (o when only from others).
  hits() {
    all "$1" | awk -v u="$2" -v a="$P22_ADDR" '
      function glob(s, p) { gsub(/[.+^$(){}|\\\[\]]/, "\\\\&", p); gsub(/\*/, ".*", p); gsub(/\?/, ".", p); return s ~ ("^" p "$") }
      function num(s, o) { split(s, o, "."); return ((o[1] * 256 + o[2]) * 256 + o[3]) * 256 + o[4] }
      function net(h,  q, s) { if (h !~ /^[0-9.]+\/[0-9]+$/ || a !~ /^[0-9.]+$/) return h ~ /\//; split(h, q, "/"); s = 2 ^ (32 - q[2]); return int(num(q[1]) / s) == int(num(a) / s) }
      { for (i = 1; i <= NF; i++) { n = split($i, w, "@"); neg = sub(/^!/, "", w[1]); if (!glob(u, w[1])) continue
          if (n == 1 || a == "" || (w[2] ~ /\// ? net(w[2]) : glob(a, w[2]))) { if (neg) no = 1; else yes = 1 } else other = 1 } }
      END { print (yes && !no) ? "yes" : other ? "other" : "no" }'
  }
  among() { for one in $(id -Gn "$U" 2>/dev/null); do if [ "$(hits "$1" "$one")" = yes ]; then return 0; fi; done; return 1; }
  [ "$(hits denyusers "$U")" != yes ] || BLOCK="$BLOCK    DenyUsers port22-nobody$NL"
  L=$(all allowusers | tr '\n' ' ')
  if [ -n "$L" ]; then
    case $(hits allowusers "$U") in
      no) BLOCK="$BLOCK    AllowUsers $L$U$NL" ;;
      other) BLOCK="$BLOCK    AllowUsers $L$U@$P22_ADDR$NL" ;;
    esac
  fi
  if [ -n "$(all denygroups)" ] && among denygroups; then BLOCK="$BLOCK    DenyGroups port22-nobody$NL"; fi
  L=$(all allowgroups | tr '\n' ' ')
  if [ -n "$L" ] && ! among allowgroups; then BLOCK="$BLOCK    AllowGroups $L$(id -gn "$U")$NL"; fi
  [ "$(all pubkeyauthentication)" != no ] || BLOCK="$BLOCK    PubkeyAuthentication yes$NL"
  # Keys at the usual place that sshd does not read, and none where it does.
  H=$(getent passwd "$U" | cut -d: -f6)
  f=
  for one in $(all authorizedkeysfile); do
    one=$(printf '%s\n' "$one" | sed -e "s|%h|$H|g" -e "s|%u|$U|g")
    case $one in none) continue ;; /*) ;; *) one=$H/$one ;; esac
    if [ -e "$one" ]; then f=$one; fi
  done
  if [ -z "$f" ] && [ -s "$H/.ssh/authorized_keys" ]; then
    BLOCK="$BLOCK    AuthorizedKeysFile $(all authorizedkeysfile | tr '\n' ' ' | sed 's/^none *//').ssh/authorized_keys$NL"
  fi
  # More than a key is asked for on purpose: that stays.
  case $(all authenticationmethods) in ''|any) ;; *) say "note left authenticationmethods" ;; esac
fi
if [ -n "$GLOBAL$BLOCK" ]; then
  [ -z "$BLOCK" ] || BLOCK="Match User $U$NL$BLOCK"
  d=/etc/ssh/sshd_config.d
  w="# added by port22 ($P22_TOKEN)$NL"
  if [ -d $d ] && awk 'tolower($1) == "match" { exit } tolower($1) == "include" && $0 ~ /\/etc\/ssh\/sshd_config\.d\/\*\.conf/ { f = 1; exit } { } END { exit !f }' "$CONF"; then
    f=$d/00-$P22_TOKEN.conf
    keep "$f" c
    printf '%s' "$w$GLOBAL$BLOCK" >"$f" && chmod 644 "$f" || give_up "cannot-write $f"
    relabel "$f"
  else
    f=$CONF; own_file "$f"
    { [ -z "$GLOBAL" ] || printf '%s' "$w$GLOBAL"
      awk 'tolower($1) == "match" { exit } { print }' "$f"
      [ -z "$BLOCK" ] || printf '%s' "$w$BLOCK"
      awk 'tolower($1) == "match" { f = 1 } f { print }' "$f"; } >"$D/new"
    write "$f"
  fi
  CHANGED=yes
  did "configured $f"
  say "$GLOBAL$BLOCK" | sed -n 's/^ *\(..*\)/added \1/p'
  X=$(t 20 "$SSHD" -t 2>&1) || give_up "config-error $(say "$X" | sed -n 1p | tr -cd ' -~' | cut -c1-160)"
fi
# systemd listens for it: where its generator does not take the port from sshd, or somebody gave the socket other ones.
OPENED=no
if [ $INIT = systemd ] && [ $SOCKET = yes ] && [ -n "$P" ]; then
  case $GLOBAL in
    *Port*) [ -e /usr/lib/systemd/system-generators/sshd-socket-generator ] || [ -e /lib/systemd/system-generators/sshd-socket-generator ] || OPENED=yes ;;
    *) X=$(t 20 systemctl show -p Listen ssh.socket 2>/dev/null); say "$X" | grep -q '(Stream)' && ! say "$X" | grep -qE "[:=]$P \\(Stream\\)" && OPENED=yes ;;
  esac
fi
if [ $OPENED = yes ]; then
  d=/etc/systemd/system/ssh.socket.d
  [ -d $d ] || made_dir $d 755 0:0
  f=$d/$P22_TOKEN.conf; keep "$f" c
  printf '[Socket]\nListenStream=%s\n' "$P" >"$f" && chmod 644 "$f" || give_up "cannot-write $f"
  CHANGED=yes
  did "configured $f"
fi

# ---- the account itself ----
W=$(awk -F: -v u="$U" '$1 == u { print; exit }' /etc/shadow 2>/dev/null)
if [ "$P22_LET" = yes ] && [ -n "$U" ] && [ "$U" != root ] && [ -n "$W" ]; then
  field() { say "$W" | cut -d: -f"$1"; }
  now=$(($(date +%s) / 86400))
  days() { case $1 in ''|*[!0-9]*) return 1 ;; esac; }
  if has chage; then
    if days "$(field 8)" && [ "$(field 8)" -le "$now" ]; then change_value expire "$U" -; fi
    # A password that must be changed first, or has aged: from today it counts anew.
    l=$(field 3); m=$(field 5)
    if days "$l" && { [ "$l" = 0 ] || { days "$m" && [ $((l + m)) -lt "$now" ]; }; }; then change_value lastchg "$U" "$now"; fi
  fi
  if has usermod; then
    # A lock counts only without PAM; one before a password would need the password to be set back.
    if [ "$(all usepam)" = no ]; then
      case $(field 2) in '!'|'!!'|'!*') change_value lock "$U" '*' ;; '!'*) say "note left-lock $U" ;; esac
    fi
    s=$(value shell "$U"); n=
    for one in /bin/bash /bin/sh; do if [ -x $one ]; then n=$one; break; fi; done
    case $s in
      # Accounts of services are not given a shell.
      */nologin|*/false) if [ "$(id -u "$U" 2>/dev/null || say 0)" -ge 1000 ] && [ -n "$n" ]; then change_value shell "$U" "$n"; fi ;;
      -) ;;
      /*) if [ ! -x "$s" ] && [ -n "$n" ]; then change_value shell "$U" "$n"; fi ;;
    esac
  fi
fi

# ---- who may come from where ----
# Only for an sshd that asks libwrap; hosts.allow counts before hosts.deny.
if [ -n "$P22_ADDR" ] && [ -s /etc/hosts.deny ] && has ldd && ldd "$SSHD" 2>/dev/null | grep -q libwrap; then
  wrapped() {
    awk -v a="$P22_ADDR" '
      function num(s, o) { split(s, o, "."); return ((o[1] * 256 + o[2]) * 256 + o[3]) * 256 + o[4] }
      function bits(m,  i, v, n) { if (m !~ /\./) return m + 0; v = num(m); for (i = 31; i >= 0; i--) { if (v < 2 ^ i) break; v -= 2 ^ i; n++ } return n + 0 }
      function net(w,  q, s) { if (a !~ /^[0-9.]+$/ || w !~ /^[0-9.]+\//) return 0; split(w, q, "/"); s = 2 ^ (32 - bits(q[2])); return int(num(q[1]) / s) == int(num(a) / s) }
      function one(w) { if (w == "ALL" || w == a) return 1; if (w ~ /\.$/) return index(a, w) == 1; return net(w) }
      # `list EXCEPT list`, as hosts_access(5) reads it.
      function in_list(l,  n, w, i, yes) { n = split(l, w, /[ \t,]+/); for (i = 1; i <= n; i++) { if (w[i] == "EXCEPT") { l = ""; while (++i <= n) l = l " " w[i]; return yes && !in_list(l) } if (w[i] != "" && one(w[i])) yes = 1 } return yes + 0 }
      /^[ \t]*#/ { next }
      { n = index($0, ":"); if (!n) next; d = substr($0, 1, n - 1); c = substr($0, n + 1); sub(/:.*/, "", c)
        if (d !~ /(^|[ \t,])(sshd|ALL)([ \t,]|$)/ || d ~ /EXCEPT/) next
        if (in_list(c)) { f = 1; exit } }
      END { exit !f }' "$1"
  }
  if wrapped /etc/hosts.deny && ! { [ -s /etc/hosts.allow ] && wrapped /etc/hosts.allow; }; then
    f=/etc/hosts.allow; A=$P22_ADDR
    case $A in *:*) A="[$A]" ;; esac
    case $(kind $f) in f) own_file $f ;; -) keep $f c; : >$f && chmod 644 $f || give_up "cannot-write $f" ;; *) give_up "not-a-file $f" ;; esac
    { printf '# added by port22 (%s)\nsshd: %s\n' "$P22_TOKEN" "$A"; cat $f; } >"$D/new"
    write $f; did "allowed $P22_ADDR $f"
  fi
fi
# Where nobody listens it is not the filter that refuses.
if [ "$P22_FW" = yes ] && [ -n "$P22_ADDR" ] && [ -n "$P" ] && listens "$P"; then
  w=$P22_ADDR,$P; b=$CHANGES
  if has firewall-cmd && t 10 firewall-cmd --state >/dev/null 2>&1; then change_value firewalld "$w" there
  elif has ufw && t 10 ufw status 2>/dev/null | grep -q '^Status: active'; then change_value ufw "$w" there
  else
    i=iptables; case $P22_ADDR in *:*) i=ip6tables ;; esac
    f=; if has $i; then f=$(t 5 $i -S 2>/dev/null); fi
    if say "$f" | grep -qE '^-P INPUT DROP|^-A INPUT .*-j ' && say "$f" | grep -qE '^-P INPUT DROP|-j (DROP|REJECT)'; then change_value $i "$w" there; fi
    # Chains of nftables' own; those that iptables made are its own.
    if has nft; then
      for one in $(t 5 nft list ruleset 2>/dev/null | awk -v i="$i" '
        $1 == "table" { fam = $2; tab = $3 } $1 == "chain" { ch = $2 }
        /type filter hook input/ && (fam == "inet" || fam == (i == "iptables" ? "ip" : "ip6")) && !(tab == "filter" && ch == "INPUT") { print "nft:" fam ":" tab ":" ch }'); do
        case $one in *[!A-Za-z0-9_:-]*) continue ;; esac
        f=$(nft_chain "$one")
        t 5 nft list table ${f% *} 2>/dev/null | grep -qE '(drop|reject)' || continue
        change_value "$one" "$w" there
      done
    fi
    [ $CHANGES = "$b" ] || say "note until-boot"
  fi
fi

# ---- the service ----
# A socket that is up takes a port on only when it is reloaded.
if listens "" || { [ $SOCKET = yes ] && listens "$P"; } || { [ $OPENED = yes ] && t 5 systemctl is-active --quiet ssh.socket; }; then
  if [ $CHANGED = yes ] && { [ -n "$GLOBAL$BLOCK" ] || [ $SOCKET = no ] || [ $BOUND = yes ] || [ $OPENED = yes ]; }; then serviced reloaded; service_do reload || give_up "cannot-reload"; sleep 1; fi
else
  if ! enabled; then serviced enabled; service_do enable || give_up "cannot-enable"; fi
  f=/run/sshd
  if [ ! -e $f ] && [ $INIT != systemd ]; then keep $f; fi
  serviced started; service_do start
fi
n=0
until listens "$P"; do
  n=$((n + 1))
  [ $n -le 20 ] || give_up "not-listening $P"
  sleep 0.5 2>/dev/null || sleep 1
done
seal
if [ $CHANGES = 0 ]; then finish nothing; fi
finish ok
