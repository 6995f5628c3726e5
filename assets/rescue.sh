# port22-rescue 1
# Repairs what hinders a login on a disk that belongs to another machine, from outside. Prints what it found and did,
# one fact a line, and END last. It changes only what it names, never anything below the login user's .ssh, and it
# follows no symbolic link: the disk is another machine's, and its links mean places there.
#
# POSIX sh. Set by the caller ahead of it: P22_VOLUME (vol-…), P22_JOB (login or fstab), P22_USER, P22_KEY (type and
# base64, or empty), P22_MARK. A function holds it all, so that a script that arrives cut runs nothing.

p22_main() {
LC_ALL=C; LANG=C; export LC_ALL LANG
PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset IFS CDPATH ENV
umask 077
set -f
cd /
V=${P22_VOLUME-}; J=${P22_JOB-}; U=${P22_USER-}; K=${P22_KEY-}; N=${P22_MARK-}
R=; LOCK=/run/port22-rescue.lock; MADE=

say() { printf '%s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
words() { tr -c ' -~' ' ' | tr -s ' ' | cut -c1-200; }

# Lets go of the disk. A disk that stays mounted cannot be moved back in order.
p22_leave() {
  cd /
  if [ -n "$R" ]; then
    sync
    l_n=0
    while grep -qF " $R " /proc/mounts && ! umount "$R" 2>/dev/null; do
      l_n=$((l_n + 1))
      if [ "$l_n" -ge 20 ]; then say "fail still-mounted $R"; break; fi
      sleep 1
    done
    rmdir "$R" 2>/dev/null
    R=
  fi
  if [ -n "$MADE" ]; then rmdir "$LOCK" 2>/dev/null; MADE=; fi
}
finish() { p22_leave; say END; exit 0; }
fail() { say "fail $*"; finish; }
trap 'say "fail interrupted a signal"; finish' HUP INT TERM

say "port22-rescue 1"

# An attempt that was cut short may still be at work; one that was killed has left its mount behind.
n=0
until mkdir "$LOCK" 2>/dev/null; do
  n=$((n + 1)); [ "$n" -lt 90 ] || break
  sleep 1
done
MADE=1
for old in $(awk '$2 ~ "^/run/port22-rescue[.]" { print $2 }' /proc/mounts); do
  umount "$old" || fail still-mounted "$old"
done

# The disk by its serial number: device names on Nitro do not follow those of the API.
SERIAL=$(printf %s "$V" | tr -d -)
DISK=; n=0
while :; do
  DISK=$(lsblk -dnrpo NAME,SERIAL 2>/dev/null | awk -v s="$SERIAL" '$2 == s { print $1; exit }')
  if [ -z "$DISK" ]; then
    link=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$SERIAL
    [ -e "$link" ] && DISK=$(readlink -f "$link")
  fi
  # Xen shows no serial number: /dev/sdf is /dev/xvdf there.
  if [ -z "$DISK" ] && [ -b /dev/xvdf ]; then DISK=/dev/xvdf; fi
  [ -n "$DISK" ] && break
  n=$((n + 1)); [ "$n" -lt 30 ] || fail no-disk "no disk here has the serial number $SERIAL"
  sleep 1
done
say "disk $DISK"
has udevadm && udevadm settle --timeout=10 2>/dev/null

kind_of() { k=$(blkid -p -o value -s TYPE "$1" 2>/dev/null); [ -n "$k" ] || k=$(blkid -o value -s TYPE "$1" 2>/dev/null); printf %s "$k"; }

# The largest file systems first; the first with accounts in it is the root.
OTHER=; WHY=
R=$(mktemp -d /run/port22-rescue.XXXXXX) || fail no-mount-point "cannot make a directory in /run"
ROOT=; KIND=
for part in $(lsblk -bnrpo NAME,SIZE "$DISK" 2>/dev/null | sort -k2,2nr | awk '!seen[$1]++ { print $1 }'); do
  kind=$(kind_of "$part")
  case $kind in
    ext4|ext3|ext2) opts=nosuid,nodev,noexec ;;
    xfs) opts=nosuid,nodev,noexec,nouuid ;;
    btrfs) opts=nosuid,nodev,noexec ;;
    LVM2_member) OTHER=lvm; continue ;;
    crypto_LUKS) OTHER=luks; continue ;;
    linux_raid_member) OTHER=raid; continue ;;
    zfs_member) OTHER=zfs; continue ;;
    *) continue ;;
  esac
  for sub in '' ,subvol=@ ,subvol=root ,subvol=@rootfs; do
    [ -z "$sub" ] || [ "$kind" = btrfs ] || break
    if ! said=$(mount -t "$kind" -o "$opts$sub" "$part" "$R" 2>&1); then
      case $kind in
        ext*)
          # Only what is safe without asking: 0 and 1 mean clean or mended.
          e2fsck -p "$part" >/dev/null 2>&1; r=$?
          if [ "$r" -le 1 ]; then
            [ "$r" -eq 1 ] && say "did file-system-mended $part"
            said=$(mount -t "$kind" -o "$opts" "$part" "$R" 2>&1) || { WHY="$part $kind: $said"; continue; }
          else
            WHY="$part $kind: $said (e2fsck $r)"; continue
          fi ;;
        *) [ -n "$sub" ] || WHY="$part $kind: $said"; continue ;;
      esac
    fi
    if [ -f "$R/etc/passwd" ] && [ ! -L "$R/etc/passwd" ] && [ ! -L "$R/etc" ]; then ROOT=$part; KIND=$kind; break 2; fi
    umount "$R" || fail still-mounted "$part"
  done
done
if [ -z "$ROOT" ]; then
  if [ -n "$WHY" ]; then fail not-mounted "$(printf %s "$WHY" | words)"; fi
  [ -z "$OTHER" ] || fail "$OTHER" "the root is in a $OTHER volume, which this does not open"
  fail no-root "no file system on $DISK holds /etc/passwd"
fi
say "root $ROOT $KIND"
grep -F " $R " /proc/mounts | awk '{ print "," $4 "," }' | grep -q ',ro,' && fail read-only "$ROOT can only be read: its file system is damaged"

case $J in
  login) p22_login ;;
  fstab) p22_fstab ;;
  *) fail bad-job "$J" ;;
esac
finish
}

# True when no component of a path below the disk's root is a symbolic link.
p22_plain() {
  p_at=$R
  p_rest=${1#/}
  while [ -n "$p_rest" ]; do
    p_at=$p_at/${p_rest%%/*}
    [ ! -L "$p_at" ] || { p_link=${p_at#"$R"}; return 1; }
    case $p_rest in */*) p_rest=${p_rest#*/} ;; *) p_rest= ;; esac
  done
}

# Owner and rights of one path, set where they differ.
p22_set() {
  s_now=$(stat -c '%u:%g %a' "$R$1")
  if [ "${s_now#* }" != "$3" ]; then chmod "$3" "$R$1" && say "did mode $1 ${s_now#* } $3"; fi
  if [ "${s_now%% *}" != "$2" ]; then chown "$2" "$R$1" && say "did owner $1 ${s_now%% *} $2"; fi
  [ "$(stat -c '%u:%g %a' "$R$1")" = "$2 $3" ] || fail not-set "$1 cannot be given owner $2 and mode $3"
}

p22_login() {
E=$(awk -F: -v u="$U" '$1 == u { print; exit }' "$R/etc/passwd")
[ -n "$E" ] || fail no-such-user "$U"
I=$(printf %s "$E" | cut -d: -f3); G=$(printf %s "$E" | cut -d: -f4); H=$(printf %s "$E" | cut -d: -f6)
case $I:$G in *[!0-9:]*|:*|*:) fail odd-account "$U $I $G" ;; esac
case $H in
  ''|/|/bin|/etc|/usr|/usr/*|/var|/dev|/dev/*|/proc*|/sys*|/nonexistent*|[!/]*|*/../*|*/..|*/./*|*//*) fail odd-home "$H" ;;
esac
H=${H%/}
say "account $I $G $H"
M=
[ -f "$R/etc/fstab" ] && M=$(awk -v h="$H/" '$1 !~ /^#/ && $2 ~ /^\// && $2 != "/" { d = $2; sub(/\/$/, "", d); if (index(h, d "/") == 1) print d }' "$R/etc/fstab" | tail -n 1)
[ -z "$M" ] || fail home-elsewhere "$M is on another file system, which is not here"
S=$H/.ssh; A=$S/authorized_keys
p22_plain "$A" || fail symlink "$p_link"
[ ! -e "$R$H" ] || [ -d "$R$H" ] || fail odd-home "$H is no directory"
[ ! -e "$R$S" ] || [ -d "$R$S" ] || fail odd-home "$S is no directory"
[ ! -e "$R$A" ] || [ -f "$R$A" ] || fail odd-home "$A is no regular file"
NEW=
if [ ! -d "$R$H" ]; then mkdir -p "$R$H" && chmod 700 "$R$H" && NEW=1 && say "did made $H"; fi
if has chattr; then for p in "$H" "$S" "$A"; do
  [ -e "$R$p" ] && chattr -i -a "$R$p" 2>/dev/null
done; fi
if [ ! -d "$R$S" ]; then mkdir "$R$S" && NEW=1 && say "did made $S"; fi
if [ ! -e "$R$A" ]; then : >"$R$A" && NEW=1 && say "did made $A"; fi
[ -f "$R$A" ] || fail not-written "$A: $(df -P "$R" | awk 'NR == 2 { print $5 " full" }')"
if [ -n "$K" ]; then
  B=${K#* }
  # A line without options in front: with options the key may be let in for less than a login.
  if awk -v b="$B" '$1 !~ /^#/ && $2 == b { f = 1 } END { exit !f }' "$R$A"; then
    say "key there"
  else
    grep -qF -- "$B" "$R$A" && say "note key-has-options"
    was=$(wc -c <"$R$A")
    if [ -s "$R$A" ] && [ -n "$(tail -c 1 "$R$A")" ]; then printf '\n' >>"$R$A"; fi
    printf '%s\n' "$K added-by-port22" >>"$R$A" 2>/dev/null
    tail -n 1 "$R$A" | grep -qxF -- "$K added-by-port22" || fail not-written "$A: $(df -P "$R" | awk 'NR == 2 { print $5 " full" }')"
    say "did key-added $A $was"
  fi
fi
# Directories above the home: the user must be able to pass them.
P=${H%/*}
while [ -n "$P" ]; do
  m=$(stat -c %a "$R$P")
  case $m in *[1357]) ;; *) chmod a+x "$R$P" && say "did mode $P $m $(stat -c %a "$R$P")" ;; esac
  P=${P%/*}
done
o=$(stat -c %u "$R$H"); m=$(stat -c %a "$R$H")
chmod go-w "$R$H"
n=$(stat -c %a "$R$H"); [ "$m" = "$n" ] || say "did mode $H $m $n"
case $n in *[1-7]??) ;; *) chmod u+rwx "$R$H"; say "did mode $H $n $(stat -c %a "$R$H")" ;; esac
if [ "$o" != "$I" ]; then chown "$I:$G" "$R$H" && say "did owner $H $o $I:$G"; fi
p22_set "$S" "$I:$G" 700
p22_set "$A" "$I:$G" 600
if [ -n "$NEW" ] && grep -qE '^[[:space:]]*SELINUX=(enforcing|permissive)' "$R/etc/selinux/config" 2>/dev/null; then
  # From outside no label can be set rightly: the machine labels its files at the next boot.
  : >"$R/.autorelabel" && say "did relabel-at-boot /.autorelabel"
fi
say "keys $(grep -cE '^[^#]*(ssh-|ecdsa-|sk-)' "$R$A")"
}

p22_fstab() {
F=/etc/fstab
p22_plain "$F" || fail symlink "$p_link"
[ -f "$R$F" ] || fail no-fstab "$F"
T=$R/etc/.fstab.port22-$N
rm -f "$T"
# Only the fourth word of a line is changed; what the system cannot do without stays as it is.
awk '
  /^[ \t]*#/ || NF < 4 { print; next }
  $2 == "/" || $2 == "/usr" || $3 ~ /^(proc|sysfs|tmpfs|devpts|devtmpfs|cgroup2?|securityfs|debugfs)$/ { print; next }
  ("," $4 ",") ~ /,(nofail|noauto),/ { print; next }
  match($0, /^[ \t]*[^ \t]+[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]+[^ \t]+/) { print substr($0, 1, RLENGTH) ",nofail" substr($0, RLENGTH + 1); next }
  { print }' "$R$F" >"$T" || fail not-written "$F"
if cmp -s "$T" "$R$F"; then rm -f "$T"; say "fstab unchanged"; return; fi
if [ ! -e "$R$F.port22-$N" ]; then cp -p "$R$F" "$R$F.port22-$N" || { rm -f "$T"; fail not-written "$F.port22-$N"; }; fi
diff "$R$F" "$T" | awk '/^> / { print "did nofail " $3 }' | words_each
# In place, so that its owner, rights and label stay.
cat "$T" >"$R$F" && cmp -s "$T" "$R$F" || { cat "$R$F.port22-$N" >"$R$F"; rm -f "$T"; fail not-written "$F"; }
rm -f "$T"
say "did saved $F.port22-$N"
}

words_each() { tr -c ' -~\n' '?' | cut -c1-200 | head -n 40; }

p22_main
