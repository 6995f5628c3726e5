#cloud-boothook
#!/bin/sh
U='@USER@'; K='@PUBKEY@'; N='@NONCE@'; D=/var/lib/sshfix
say() { echo "sshfix[$N] $*"; { echo "sshfix[$N] $*" > /dev/console; } 2>/dev/null || :; }
end() { say "FAIL $*"; exit 0; }
[ -e "$D/$N" ] && exit 0
umask 077
E=$(getent passwd "$U" 2>/dev/null || awk -F: -v u="$U" '$1==u' /etc/passwd)
[ -n "$E" ] || end "no-such-user $U"
I=$(echo "$E" | cut -d: -f3); G=$(echo "$E" | cut -d: -f4); H=$(echo "$E" | cut -d: -f6)
case "$H" in ''|/|/bin|/etc|/usr|/usr/*|/var|/nonexistent) end "odd-home $H";; esac
M=$(awk -v h="$H/" '$1!~/^#/ && $2!="/" && index(h,$2"/")==1 {print $2}' /etc/fstab | tail -n1)
if [ -n "$M" ] && ! awk -v m="$M" '$2==m{f=1} END{exit !f}' /proc/mounts; then
  mount "$M" 2>/dev/null || end "home-not-mounted $M"
fi
S="$H/.ssh"; A="$S/authorized_keys"
if [ -L "$S" ] || [ -L "$A" ]; then end symlink; fi
[ -d "$H" ] || { mkdir -p "$H" && chmod 700 "$H" && say made-home; }
P=$(dirname "$H"); while [ "$P" != / ]; do chmod a+x "$P"; P=$(dirname "$P"); done
[ -d "$S" ] || mkdir "$S" || end "no-directory $S"
[ -e "$A" ] || : > "$A"
[ -f "$A" ] || end "no-file $A"
command -v chattr >/dev/null 2>&1 && chattr -i "$S" "$A" 2>/dev/null
W=$(echo "$K" | cut -d' ' -f2)
has() { grep -v '^[[:space:]]*#' "$A" | grep -qF "$W"; }
if [ -n "$K" ] && ! has; then
  [ -s "$A" ] && [ -n "$(tail -c1 "$A")" ] && echo >> "$A"
  echo "$K" >> "$A"
  has || end key-not-written
  say key-added
fi
chmod u+rwx,go-w "$H"; chmod 700 "$S"; chmod 600 "$A"; chown "$I:$G" "$H" "$S" "$A"
command -v restorecon >/dev/null 2>&1 && restorecon -RF "$S"
mkdir -p "$D" && : > "$D/$N"
say "OK $(ls -ldn "$H" "$S" "$A" | awk '{print $1":"$3":"$4":"$NF}' | tr '\n' ' ')"
exit 0
