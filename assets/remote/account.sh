# Who logs in and which files sshd then reads; what StrictModes and the kernel ask of them. Shared by scripts.
# Set by the caller: P22_USER, P22_ADDR (may be empty).

begin
U=$P22_USER
E=$(getent passwd "$U" 2>/dev/null | sed -n 1p)
if [ -z "$E" ]; then E=$(awk -F: -v u="$U" '$1 == u { print; exit }' /etc/passwd); fi
[ -n "$E" ] || finish fail "no-such-user $U"
I=$(say "$E" | cut -d: -f3); G=$(say "$E" | cut -d: -f4); H=$(say "$E" | cut -d: -f6)
case $H in ''|/|/bin|/sbin|/etc|/usr|/usr/*|/var|/dev|/proc|/run|/nonexistent|/home) finish fail "odd-home $H" ;; esac
plain "$H"
GROUPS_U=" $(id -G "$U" 2>/dev/null || say "$G") "
# A home that is not mounted: what is done to the directory beneath is lost.
if [ -r /etc/fstab ] && [ -r /proc/mounts ]; then
  M=$(awk -v h="$H/" '$1 !~ /^#/ && NF > 2 && $2 != "/" && index(h, $2 "/") == 1 { print $2 }' /etc/fstab | tail -n 1)
  if [ -n "$M" ] && ! awk -v m="$M" '$2 == m { f = 1 } END { exit !f }' /proc/mounts; then finish fail "home-not-mounted $M"; fi
fi
SSHD=
for f in sshd /usr/sbin/sshd /usr/lib/openssh/sshd /usr/local/sbin/sshd; do
  if has "$f"; then SSHD=$(command -v "$f"); break; fi
done
setting() {
  [ -n "$SSHD" ] && t 10 "$SSHD" -T -C "user=$U,host=${P22_ADDR:-localhost},addr=${P22_ADDR:-127.0.0.1}" 2>/dev/null | awk -v k="$1" '$1 == k { $1 = ""; sub(/^ /, ""); print }'
}
STRICT=$(setting strictmodes)
AKF=$(setting authorizedkeysfile)
[ -n "$AKF" ] || { AKF=.ssh/authorized_keys; say "note assumed $AKF"; }
FILES=
for f in $AKF; do
  [ "$f" = none ] && continue
  f=$(printf '%s\n' "$f" | sed -e "s|%h|$H|g" -e "s|%u|$U|g" -e "s|%U|$I|g" -e 's|%%|%|g')
  case $f in /*) ;; *) f=$H/$f ;; esac
  plain "$f"
  FILES="$FILES $f"
done

# Debian and Ubuntu bear with a group in which nobody but the user is.
PATCHED=no
if [ -r /etc/os-release ] && grep -qE '^ID(_LIKE)?="?([a-z ]* )?(debian|ubuntu)' /etc/os-release; then PATCHED=yes; fi
private() {
  [ $PATCHED = yes ] || return 1
  r=$({ getent group "$1" || awk -F: -v g="$1" '$3 == g' /etc/group; } 2>/dev/null | sed -n 1p)
  [ -n "$r" ] || return 1
  m=$(say "$r" | cut -d: -f4)
  case $m in ''|"$U") ;; *) return 1 ;; esac
  o=$({ getent passwd || cat /etc/passwd; } 2>/dev/null | awk -F: -v g="$1" -v i="$I" '$4 == g { if ($3 == i) n++; else bad = 1 } END { print bad ? "bad" : n + 0 }')
  [ "$o" != bad ] && [ "$o$m" != 0 ]
}
inside_home() { case $1 in "$H"|"$H"/*) return 0 ;; *) return 1 ;; esac; }

# What StrictModes asks of one path: an owner that is root or the user, and no write right for others.
trust() {
  set -- "$1" $(look "$1")
  if [ "$3" != 0 ] && [ "$3" != "$I" ]; then
    if inside_home "$1" || [ -f "$1" ]; then give "$I:$G" "$1"; else give "0:$4" "$1"; fi
    set -- "$1" $(look "$1")
  fi
  w=
  [ $((0$2 & 2)) = 0 ] || w=o-w
  if [ $((0$2 & 020)) != 0 ] && ! private "$4"; then w=${w:+$w,}g-w; fi
  [ -z "$w" ] || chmode "$w" "$1"
}
# Whether the user may: path, r or x.
may() {
  if [ "$I" = 0 ]; then return 0; fi
  if has setpriv && setpriv --reuid "$I" --regid "$G" --init-groups true 2>/dev/null; then
    setpriv --reuid "$I" --regid "$G" --init-groups test "-$2" "$1" 2>/dev/null; return
  fi
  c=$(class "$1"); b=4; [ "$2" = x ] && b=1
  set -- "$1" "$(look "$1" | cut -d' ' -f1)"
  case $c in u) b=$((b * 64)) ;; g) b=$((b * 8)) ;; esac
  [ $((0$2 & b)) != 0 ]
}
# Which of the three classes of rights holds for the user.
class() {
  set -- $(look "$1")
  if [ "$2" = "$I" ]; then say u; return; fi
  case $GROUPS_U in *" $3 "*) say g ;; *) say o ;; esac
}
# Directories above a path, the highest first.
above() {
  p=$(dirname "$1"); r=
  while [ "$p" != / ]; do r="$p $r"; p=$(dirname "$p"); done
  say "/ $r"
}
# What one key file, and every directory on the way to it, needs so that sshd reads it for the user; nothing more.
open_way() {
  f=$1
  for p in $(above "$f"); do
    [ -d "$p" ] || continue
    if [ -L "$p" ] && inside_home "$p" && [ "$p" != "$H" ]; then give_up "link $p"; fi
    if ! may "$p" x; then
      if inside_home "$p"; then
        [ "$(class "$p")" = u ] || give "$I:$G" "$p"
        may "$p" x || chmode u+x "$p"
      else
        chmode "$(class "$p")+x" "$p"
      fi
    fi
  done
  if [ "$STRICT" != no ]; then
    for p in $(above "$f"); do
      [ -d "$p" ] || continue
      if inside_home "$f" && ! inside_home "$p"; then continue; fi
      trust "$p"
    done
  fi
  case $(kind "$f") in
    -) return 1 ;;
    l) give_up "link $f" ;;
    f) [ "$(look "$f" | cut -d' ' -f4)" = 1 ] || give_up "several-names $f" ;;
    *) give_up "not-a-file $f" ;;
  esac
  [ "$STRICT" = no ] || trust "$f"
  if ! may "$f" r; then
    if inside_home "$f"; then
      [ "$(class "$f")" = u ] || give "$I:$G" "$f"
      may "$f" r || chmode u+r "$f"
    else
      chmode "$(class "$f")+r" "$f"
    fi
  fi
  if inside_home "$f"; then relabel "$(dirname "$f")"; fi
  relabel "$f"
}
