# port22's look inside: reads, and prints what it read, one fact a line. It changes nothing: no file is
# written, no service touched, no network used. Secrets are not printed: of a password field its class only,
# of authorized_keys no comments, no private key at all.
#
# POSIX sh without bash, GNU or systemd. Set by the caller ahead of it: P22_USER, P22_ADDR, P22_PORT, P22_KEY1
# to P22_KEY4 (type and base64). A function holds it all, so that a script that arrives cut runs nothing.

p22_main() {
LC_ALL=C; LANG=C; export LC_ALL LANG
PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/run/current-system/sw/bin
export PATH
unset IFS CDPATH ENV
umask 077
set -f
cd /
U=${P22_USER-}; A=${P22_ADDR-}; P=${P22_PORT:-22}
exec 3>&1
START=$(date +%s)
BUDGET=48

has() { command -v "$1" >/dev/null 2>&1; }
# Says that a tool is missing.
need() { if has "$1"; then return 0; fi; echo "notool $1"; return 1; }
say() { printf '%s\n' "$*"; }

# Which form of timeout there is. Without one the shell itself keeps watch.
TO=none
if has timeout; then
  if timeout -s KILL 5 true; then TO=new
  elif timeout -t 5 -s KILL true; then TO=old
  fi
fi
SID=; has setsid && SID=setsid

# t SECONDS COMMAND...: runs it for so long at most, and not at all once the whole budget is used up.
t() {
  t_s=$1; shift
  t_left=$((START + BUDGET - $(date +%s)))
  if [ "$t_left" -le 0 ]; then echo "late $1" >&3; return 124; fi
  if [ "$t_s" -gt "$t_left" ]; then t_s=$t_left; fi
  case $TO in
    new) timeout -s KILL "$t_s" "$@" 3>&- ;;
    old) timeout -t "$t_s" -s KILL "$@" 3>&- ;;
    *)
      # Fd 4: some shells give a background command /dev/null as its input whatever is asked for.
      { $SID "$@" <&4 3>&- 4<&- & } 4<&0
      t_p=$!
      # A parent that hangs on nobody's pipe, and that is gone as soon as the command is.
      ( t_n=0
        while [ "$t_n" -lt "$t_s" ]; do sleep 1; t_n=$((t_n + 1)); kill -0 "$t_p" || exit 0; done
        kill -9 "-$t_p" || kill -9 "$t_p" ) </dev/null >/dev/null 2>&1 3>&- &
      wait "$t_p" ;;
  esac
  t_r=$?
  case $t_r in 124|137|143) echo "slow $1" >&3 ;; esac
  return $t_r
}

# Printable ASCII only, lines cut. The first word is put in front of each line.
clean() { awk -v k="$1" -v n="${2:-240}" -v m="${3:-40}" '{ sub(/\r$/, ""); gsub(/\t/, " "); gsub(/[^ -~]/, "?"); if (NR <= m) print k " " substr($0, 1, n) }'; }

echo "at $START"
if [ -r /proc/uptime ]; then awk '{ print "up " int($1); exit }' /proc/uptime
elif has sysctl; then t 2 sysctl -n kern.boottime | sed -n 's/.*sec = \([0-9]*\),.*/boot \1/p'
fi
say "zone $(date +%z)"
say "uid $(id -u)"
say "kernel $(uname -s) $(uname -r)"
say "ask.user $U"
say "ask.addr $A"
say "ask.port $P"
say "timeout $TO"

# ---- distribution ----
OSR=/etc/os-release; [ -r "$OSR" ] || OSR=/usr/lib/os-release
if [ -r "$OSR" ]; then
  awk -F= '{ v = $2; gsub(/["\047]/, "", v) }
    $1 == "ID" { print "os.id " v } $1 == "VERSION_ID" { print "os.version " v }
    $1 == "ID_LIKE" { print "os.like " v } $1 == "PRETTY_NAME" { print "os.name " substr(v, 1, 80) }' "$OSR"
elif [ -r /etc/system-release ]; then clean os.name 80 1 </etc/system-release
fi
SYSTEMD=no; [ -d /run/systemd/system ] && SYSTEMD=yes
if [ $SYSTEMD = yes ]; then say "init systemd"
elif [ -d /run/openrc ] || [ -d /lib/rc ]; then say "init openrc"
elif [ -r /etc/rc.subr ]; then say "init rc"
elif [ -d /etc/init.d ]; then say "init sysv"
else say "init other"
fi
# Whether systemd itself still boots or goes down: then a nologin file is normal.
if [ $SYSTEMD = yes ]; then
  say "system $(t 4 systemctl is-system-running)"
  t 4 systemctl list-units --state=failed --plain --no-legend --no-pager | awk '{ n++; if (n <= 6) s = s " " $1 } END { print "failed " n + 0 s }'
fi

# ---- account ----
short='{ print $1 ":" $3 ":" $4 ":" $6 ":" $7 }'
NSS=; DUMB=
if [ -n "$U" ]; then
  if need getent; then
    NSS=$(t 5 getent passwd "$U"); r=$?
    NSS=$(printf '%s\n' "$NSS" | awk -F: -v u="$U" 'NF >= 7 && $1 == u '"$short" | sed -n 1p)
    if [ -n "$NSS" ]; then say "passwd.nss $NSS"
    elif [ $r -eq 2 ] || [ $r -eq 0 ]; then say "passwd.nss -"
    else say "passwd.nss ?"; DUMB=1
    fi
  fi
  FILE=$(awk -F: -v u="$U" 'NF >= 7 && $1 == u '"$short" /etc/passwd | sed -n 1p)
  say "passwd.file ${FILE:--}"
  PW=${NSS:-$FILE}
  HOME_U=$(printf '%s' "$PW" | awk -F: '{ print $4 }'); UID_U=$(printf '%s' "$PW" | awk -F: '{ print $2 }')
  GID_U=$(printf '%s' "$PW" | awk -F: '{ print $3 }'); SHELL_U=$(printf '%s' "$PW" | awk -F: '{ print $5 }')
  # A name service that hangs is not asked again.
  if [ -n "$PW" ] && [ -n "$DUMB" ]; then
    awk -F: -v u="$U" -v g="$GID_U" '$3 == g { n = $1 " " n; i = $3 " " i; next } { c = split($4, m, ","); for (k = 1; k <= c; k++) if (m[k] == u) { n = n $1 " "; i = i $3 " " } }
      END { print "groups " i; print "groupnames " substr(n, 1, 300) }' /etc/group
  elif [ -n "$PW" ]; then
    say "groups $(t 5 id -G "$U")"
    say "groupnames $(t 5 id -Gn "$U" | cut -c1-300)"
  fi
  if [ -n "$PW" ]; then
    if [ -r /etc/shells ]; then
      if grep -qxF "${SHELL_U:-/bin/sh}" /etc/shells; then say "shells yes"; else say "shells no"; fi
    fi
  fi
fi
class='function class(f) { if (f == "") return "empty"; if (f == "!" || f == "!!" || f == "*") return f
  if (f ~ /^\*LOCKED\*/) return "LOCKED"; if (f ~ /^!/) return (length(f) > 12 ? "!hash" : "!"); if (f ~ /^\*/) return "*"
  return (length(f) > 12 || f ~ /^[$_]/ ? "hash" : "other") }'
if [ -r /etc/shadow ]; then
  awk -F: -v u="$U" "$class"'
    function d(x) { return x == "" ? "-" : x }
    { c = class($2); if (c == "hash") n++ } $1 == u && !seen { seen = 1; print "shadow " c " " d($3) " " d($5) " " d($7) " " d($8) }
    END { print "passwords " n + 0 }' /etc/shadow
elif [ -r /etc/master.passwd ]; then
  awk -F: -v u="$U" "$class"' /^#/ { next }
    { c = class($2); if (c == "hash") n++ } $1 == u && !seen { seen = 1; print "shadow.bsd " c " " $6 + 0 " " $7 + 0 }
    END { print "passwords " n + 0 }' /etc/master.passwd
fi
for f in /etc/nologin /run/nologin /var/run/nologin; do
  if [ -e "$f" ]; then
    say "nologin $(t 3 awk 'END { print NR }' "$f") $f"
  fi
done
if [ -r /etc/nsswitch.conf ]; then sed -n 's/^passwd:[[:space:]]*//p' /etc/nsswitch.conf | clean nsswitch 120 1; fi

# ---- who listens ----
# On the ports in question; and sshd, and those that listen for it, on any port.
# Forwarded ports of sessions, which listen on loopback, must not push out the rest.
pick='function out(a, p, who) { if (who == "") who = "?"; if ((index(" " ports " ", " " p " ") || who ~ /sshd|dropbear|tinysshd|^(systemd|init|inetd|xinetd) /) && (a ~ /^(127\.|::1$)/ ? ++l <= 6 : ++n <= 24)) print "listen " a " " p " " who }'
PORTS="$P 22"
LISTEN=$(
if has ss && L=$(t 5 ss -ltnp) && [ -n "$L" ]; then
  say "$L" | awk -v ports="$PORTS" "$pick"' $1 == "LISTEN" { a = $4; p = a; sub(/.*:/, "", p); sub(/:[^:]*$/, "", a); gsub(/[][]/, "", a); w = $0
    if (sub(/.*users:\(\("/, "", w)) { q = w; sub(/".*/, "", w); sub(/.*pid=/, "", q); sub(/[^0-9].*/, "", q); w = w " " q } else w = "?"
    out(a == "" ? "*" : a, p, w) }'
  say "listen.tool ss"
elif has sockstat && L=$(t 5 sockstat -46l); then
  say "$L" | awk -v ports="$PORTS" "$pick"' $5 ~ /^tcp/ { a = $6; p = a; sub(/.*:/, "", p); sub(/:[^:]*$/, "", a); out(a, p, $2 " " $3) }'
  say "listen.tool sockstat"
elif has netstat && L=$(t 5 netstat -ltnp) && [ -n "$L" ]; then
  say "$L" | awk -v ports="$PORTS" "$pick"' /^tcp/ { a = $4; p = a; sub(/.*:/, "", p); sub(/:[^:]*$/, "", a); w = $7
    if (w ~ /^[0-9]+\//) { q = w; sub(/^[0-9]*\//, "", w); sub(/:$/, "", w); sub(/\/.*/, "", q); w = w " " q } else w = "?"
    out(a == "" ? "*" : a, p, w) }'
  say "listen.tool netstat"
elif [ -r /proc/net/tcp ]; then
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v ports="$PORTS" "$pick"'
    function hex(s, i, v) { v = 0; for (i = 1; i <= length(s); i++) v = v * 16 + index("0123456789ABCDEF", substr(s, i, 1)) - 1; return v }
    $4 == "0A" { split($2, b, ":"); a = "?"; if (b[1] ~ /^0+$/) a = "*"; else if (b[1] == "0100007F") a = "127.0.0.1"
      else if (length(b[1]) == 8) a = hex(substr(b[1], 7, 2)) "." hex(substr(b[1], 5, 2)) "." hex(substr(b[1], 3, 2)) "." hex(substr(b[1], 1, 2)); out(a, hex(b[2]), "?") }'
  say "listen.tool proc"
else echo "notool ss"
fi
)
say "$LISTEN"

# ---- who runs as sshd ----
# The program, its options as the running listener shows them, the version.
SSHD=$(command -v sshd || true)
[ -n "$SSHD" ] || for f in /usr/sbin/sshd /usr/local/sbin/sshd /sbin/sshd; do [ -x "$f" ] && SSHD=$f && break; done
ARGS=
if has ps; then
  # To the ps of BSD, -e means the environment, which is nobody's business.
  if [ "$(uname -s)" = Linux ]; then ARGS=$(t 4 ps -eo pid,ppid,args 2>/dev/null || t 4 ps -o pid,ppid,args)
  else ARGS=$(t 4 ps -axo pid,ppid,args)
  fi
  say "$ARGS" | awk '/sshd-session|sshd-auth|sshd@|awk/ { next }
    /[ \/](sshd|dropbear|tinysshd)( |$)/ && (/ -D|listener|sshd$|dropbear|tinysshd|sshd -/) && n < 4 { n++; sub(/^ +/, ""); print }' | clean daemon 300
fi
# The words after -f and -p of the one that has the port; a word that could mean something to a shell is left out.
DAEMON=$(say "$LISTEN" | awk -v p="$P" '$1 == "listen" && $4 ~ /sshd/ && $5 != "" { if ($3 == p) { print $5; f = 1; exit } if (o == "") o = $5 } END { if (!f) print o }')
[ -n "$DAEMON" ] && DAEMON=$(say "$ARGS" | awk -v p="$DAEMON" '$1 == p { print; exit }')
OPTF=$(say "$DAEMON" | sed -n 's/.* -f *\([A-Za-z0-9_.\/-]*\).*/\1/p'); OPTP=$(say "$DAEMON" | sed -n 's/.* -p *\([0-9]*\).*/\1/p')
[ -n "$OPTF" ] && [ ! -r "$OPTF" ] && OPTF=
if [ -n "$SSHD" ]; then
  say "sshd.path $SSHD"
  v=$(t 4 "$SSHD" -V 2>&1 | sed -n 's/.*\(OpenSSH_[^ ,]*\).*/\1/p' | sed -n 1p)
  [ -n "$v" ] || v=$(t 4 ssh -V 2>&1 | sed -n 's/.*\(OpenSSH_[^ ,]*\).*/\1/p' | sed -n 1p)
  say "sshd.version ${v:--}"
else
  say "sshd.path -"
  for f in dropbear tinysshd; do has $f && say "sshd.other $f"; done
fi
CONF=${OPTF:-/etc/ssh/sshd_config}
[ -r "$CONF" ] || [ -n "$OPTF" ] || for f in /usr/local/etc/ssh/sshd_config /usr/etc/ssh/sshd_config; do [ -r "$f" ] && CONF=$f && break; done

# ---- what sshd says about its configuration ----
T=
keywords='port|listenaddress|addressfamily|pubkeyauthentication|authenticationmethods|authorizedkeysfile|authorizedkeyscommand|authorizedkeyscommanduser|allowusers|denyusers|allowgroups|denygroups|permitrootlogin|strictmodes|usepam|maxauthtries|maxstartups|maxsessions|pubkeyacceptedalgorithms|pubkeyacceptedkeytypes|requiredrsasize|trustedusercakeys|revokedkeys|logingracetime|usedns|passwordauthentication|kbdinteractiveauthentication|persourcepenalties|persourcemaxstartups|forcecommand|chrootdirectory|loglevel|hostkey|permittty|refuseconnection'
if [ -n "$SSHD" ]; then
  e=$(t 8 "$SSHD" -t ${OPTF:+-f "$OPTF"} 2>&1); say "sshd.test $?"
  [ -z "$e" ] || say "$e" | grep -v '^@' | clean sshd.says 240 16
  T=$(t 8 "$SSHD" -T ${OPTF:+-f "$OPTF"} ${OPTP:+-p "$OPTP"} -C "user=${U:-root},host=${A:-192.0.2.1},addr=${A:-192.0.2.1}" 2>&1); r=$?
  say "sshd.T $r"
  if [ $r -eq 0 ]; then
    say "$T" | awk -v k="$keywords" 'BEGIN { n = split(k, a, "|"); for (i = 1; i <= n; i++) w[a[i]] = 1 }
      $1 in w { n = ++seen[$1]; if (n <= 30) print "T " substr($0, 1, 900) }'
  else
    say "$T" | clean sshd.Tsays 300 4
    T=
    # Without sshd's own word: the lines as they stand, in the order in which they are read.
    if [ -r "$CONF" ]; then
      conf() { awk -v k="$keywords|match|include" -v f="$1" 'BEGIN { n = split(k, a, "|"); for (i = 1; i <= n; i++) w[a[i]] = 1 }
        { gsub(/\r/, ""); sub(/^[ \t]+/, ""); x = $0; sub(/[ \t=].*/, "", x); if (tolower(x) in w && ++n0 <= 40) print "conf " f ":" NR " " substr($0, 1, 200) }' "$1"; }
      set +f
      if grep -qi '^[[:space:]]*Include' "$CONF"; then for f in /etc/ssh/sshd_config.d/*.conf; do [ -r "$f" ] && conf "$f"; done; fi
      set -f
      conf "$CONF"
    fi
  fi
fi
val() { say "$T" | awk -v k="$1" '$1 == k { sub(/^[^ ]+ ?/, ""); print; exit }'; }
for f in /etc/systemd/system/ssh.service /etc/systemd/system/sshd.service; do
  [ -L "$f" ] && [ "$(readlink "$f")" = /dev/null ] && say "rc sshd masked $f"
done
[ -e /etc/ssh/sshd_not_to_be_run ] && say "notrun /etc/ssh/sshd_not_to_be_run"

# ---- service ----
if [ $SYSTEMD = yes ]; then
  for u in ssh.service sshd.service ssh.socket sshd.socket dropbear.service sssd.service firewalld.service; do
    t 3 systemctl show -p LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,ActiveEnterTimestampMonotonic,Id,FragmentPath "$u" |
      awk -F= -v u="$u" '{ v[$1] = $2 } function d(x) { return x == "" ? "-" : x }
        END { if (v["LoadState"] != "" && v["LoadState"] != "not-found") print "unit " u " " v["LoadState"] " " v["ActiveState"] " " v["SubState"] " " d(v["UnitFileState"]) " " d(v["Result"]) " " d(v["ExecMainStatus"]) " " int(v["ActiveEnterTimestampMonotonic"] / 1000000) " " d(v["Id"]) }'
  done
  # Options that drop-ins give to sshd (EC2 Instance Connect 1.x), and where the socket listens.
  t 4 systemctl cat ssh.service sshd.service ssh.socket sshd.socket |
    awk '/^# \// { f = $2 } /^(ExecStart=.*sshd|ListenStream=|ExecStartPre=.*sshd)/ && ++n <= 12 { print f " " $0 }' | clean unit.line 400
elif [ -d /run/openrc ]; then
  if [ -e /run/openrc/started/sshd ]; then say "rc sshd started"; else say "rc sshd stopped"; fi
  set +f; for f in /etc/runlevels/*/sshd; do [ -e "$f" ] && say "rc sshd enabled $f"; done; set -f
elif [ -r /etc/rc.subr ]; then
  awk -F= '/^[ \t]*sshd_enable=/ { gsub(/["\047]/, "", $2); v = $2 } END { print "rc sshd_enable " (v == "" ? "-" : v) }' /etc/rc.conf /etc/rc.conf.local 2>/dev/null
elif [ -d /etc/init.d ]; then
  set +f; for f in /etc/rc3.d/S*ssh* /etc/rc2.d/S*ssh*; do [ -e "$f" ] && say "rc sshd enabled $f"; done; set -f
fi

# ---- files ----
# Where sshd looks for this user's keys; %h, %u and relative names as sshd reads them.
AKF=$(val authorizedkeysfile)
[ -n "$AKF" ] || { AKF='.ssh/authorized_keys .ssh/authorized_keys2'; say "akf.assumed yes"; }
N=0; FILES=; NL='
'
if [ -n "${HOME_U-}" ]; then
  for w in $AKF .ssh/authorized_keys; do
    [ "$w" = none ] && continue
    f=$(say "$w" | awk -v h="$HOME_U" -v u="$U" -v i="$UID_U" '{ s = $0; r = ""; while ((n = index(s, "%")) > 0) { c = substr(s, n + 1, 1); r = r substr(s, 1, n - 1); s = substr(s, n + 2)
      r = r (c == "h" ? h : c == "u" ? u : c == "U" ? i : c == "%" ? "%" : "%" c) } r = r s; if (r !~ /^\//) r = h "/" r; print r }')
    case "$NL$FILES$NL" in *"$NL$f$NL"*) continue ;; esac
    FILES="$FILES${FILES:+$NL}$f"
    # Beyond what sshd reads: the usual place, for telling that the key lies there in vain.
    case " $AKF " in *" $w "*) say "akf $N $f" ;; *) say "akf.unused $N $f" ;; esac
    N=$((N + 1))
    [ $N -ge 6 ] && break
  done
fi
# Every ancestor of a path, itself included.
up() { awk '{ p = $0; while (p != "" && p != "/") { print p; sub(/\/[^\/]*$/, "", p) } print "/" }'; }
LIST=$( { if [ -n "${HOME_U-}" ]; then say "$HOME_U"; say "$FILES"; fi; } | up )
REAL=
if [ -n "${HOME_U-}" ]; then
  IFS=$NL
  if need readlink; then
    for f in $HOME_U $FILES; do
      r=$(t 4 readlink -f "$f")
      # The name of a file in a directory that does not exist is not resolved: nothing is there.
      [ -n "$r" ] && { say "real $f => $r"; [ "$r" = "$f" ] || REAL="$REAL$NL$r"; }
    done
  fi
  unset IFS
fi
REALSH=
if [ -n "${SHELL_U-}" ] && has readlink; then REALSH=$(t 3 readlink -f "$SHELL_U"); [ -n "$REALSH" ] && say "real $SHELL_U => $REALSH"; fi
HK=$(say "$T" | awk '$1 == "hostkey" { print $2 }')
if [ -z "$HK" ]; then set +f; for f in /etc/ssh/ssh_host_*_key; do [ -e "$f" ] && HK="$HK$NL$f"; done; set -f; fi
AKC=$(val authorizedkeyscommand | awk '{ print $1 }'); case $AKC in /*) ;; *) AKC= ;; esac
EIC=
for f in /usr/share/ec2-instance-connect/eic_run_authorized_keys /opt/aws/bin/eic_run_authorized_keys; do [ -e "$f" ] && EIC=$f && say "eic $f"; done
ALL=$( { say "$LIST"; say "$REAL" | up; say "$HK"; say "${SHELL_U-}"; val revokedkeys; if [ -n "$AKC" ]; then say "$AKC" | up; fi
  if [ -n "$REALSH" ]; then say "$REALSH"; fi
  say "/run/sshd${NL}/var/empty/sshd${NL}/usr/share/empty.sshd${NL}/var/lib/empty${NL}/var/empty"; } | awk '/^\// && !s[$0]++ && ++n <= 90' )
# One call for all of them: raw mode in hexadecimal, owner, group, size, time of change, name.
IFS=$NL
S=$(t 6 stat -c '%f %u %g %s %Z %n' $ALL 2>&1); r=$?
case $S in *'%f %u'*|*'llegal option'*|*'usage:'*) S=$(t 6 stat -f '%Xp %u %g %z %c %N' $ALL 2>&1); r=$? ;; esac
unset IFS
{ say "$ALL" | sed 's/^/= /'; say "$S"; } | awk -v r=$r '
  /^= / { want[++n] = substr($0, 3); next }
  /^[0-9a-fA-F]+ [0-9]+ [0-9]+ [0-9]+ [0-9]+ \// { p = $0; sub(/^[^\/]*/, "", p); got[p] = $0; next }
  { err = err "\n" $0 }
  END { for (i = 1; i <= n; i++) { p = want[i]; if (p in got) { print "path " got[p]; continue }
    why = "?"; if (r != 137 && r != 124) { k = index(err, p "\047"); if (!k) k = index(err, p ":"); if (!k) k = index(err, p "\""); e = k ? substr(err, k + length(p), 90) : ""; sub(/\n.*/, "", e)
      if (e ~ /No such file|Not a directory/) why = "-"; else if (e ~ /ermission denied/) why = "!"; else if (e != "") why = "?" }
    print "path " why " " p } }' | awk '{ gsub(/[^ -~]/, "?"); print }'
# Groups of these paths: Debian and Ubuntu bear with a group that is the owner'\''s alone.
for g in $(say "$S" | awk '/^[0-9a-fA-F]+ [0-9]+ / && !s[$3]++ { print $3 }' | sed -n 1,12p); do
  e=
  [ -z "$DUMB" ] && has getent && e=$(t 4 getent group "$g")
  [ -n "$e" ] || e=$(awk -F: -v g="$g" '$3 == g { print; exit }' /etc/group)
  awk -F: -v g="$g" -v e="$e" '$4 == g { s = s (s == "" ? "" : ",") $3; if (++n > 8) { s = s ",..."; exit } }
    END { split(e, f, ":"); print "grp " g " " (f[1] == "" ? "-" : f[1]) " " (f[4] == "" ? "-" : substr(f[4], 1, 120)) " " (s == "" ? "-" : s) }' /etc/passwd
done

if [ -n "${HOME_U-}" ]; then
  IFS=$NL
  set -- $HOME_U "$HOME_U/.ssh" $FILES
  unset IFS
  # Whether the user themselves can open it, asked of the kernel: modes, ACLs and mounts all count.
  as() { return 9; }
  groups_of() { [ -n "$DUMB" ] || t 5 id -G "$U" | tr ' ' ','; }
  if [ "$(id -u)" = 0 ]; then
    if has setpriv && t 3 setpriv --reuid "$UID_U" --regid "$GID_U" --clear-groups true; then
      g=$(groups_of); as() { t 4 setpriv --reuid "$UID_U" --regid "$GID_U" --groups "${g:-$GID_U}" "$@"; }
    elif t 3 chroot --userspec="$UID_U:$GID_U" / true; then
      g=$(groups_of); as() { t 4 chroot --userspec="$UID_U:$GID_U" --groups="${g:-$GID_U}" / "$@"; }
    elif [ "$(uname -s)" = FreeBSD ] && t 3 chroot -u "$U" -g "$GID_U" -G "$GID_U" / /usr/bin/true; then
      as() { t 4 chroot -u "$U" -g "$GID_U" -G "$GID_U" / "$@"; }
    fi
  fi
  TEST=/usr/bin/test; [ -x $TEST ] || TEST=/bin/test
  [ -x $TEST ] || TEST=test
  IFS=$NL
  for f in $HOME_U $FILES; do
    o=-r; [ "$f" = "$HOME_U" ] && o=-x
    as $TEST $o "$f"
    case $? in 0) say "access yes $f" ;; 1) say "access no $f" ;; *) say "access ? $f" ;; esac
  done
  unset IFS
  if [ "$(uname -s)" = Linux ]; then
    if need lsattr; then
      t 4 lsattr -d "$@" 2>/dev/null | awk 'NF >= 2 && $1 ~ /^[-A-Za-z]+$/ && $1 ~ /[ia]/ { p = $0; sub(/^[^ ]+ +/, "", p); print "attr " $1 " " p }'
    fi
  else
    t 4 stat -f '%Sf %N' "$@" 2>/dev/null | awk '$1 ~ /chg|appnd/ { p = $0; sub(/^[^ ]+ /, "", p); print "attr " $1 " " p }'
  fi
fi

# ---- SELinux ----
if [ -r /sys/fs/selinux/enforce ]; then
  if [ "$(cat /sys/fs/selinux/enforce)" = 1 ]; then say "selinux enforcing"; else say "selinux permissive"; fi
  if [ -n "${HOME_U-}" ]; then
    t 4 stat -c '%C %n' "$@" 2>/dev/null | awk '/:/ { print "label " $0 }'
    if has matchpathcon; then t 4 matchpathcon "$@" 2>/dev/null | awk -F'\t' 'NF == 2 { print "label.want " $2 " " $1 }'; fi
  fi
  if [ -r /var/log/audit/audit.log ]; then
    t 4 tail -c 300000 /var/log/audit/audit.log | awk '/avc: *denied/ && /comm="sshd/ { a[++n] = $0 } END { for (i = (n > 3 ? n - 2 : 1); i <= n; i++) print a[i] }' | clean avc 300
  fi
else say "selinux none"
fi

# ---- authorized_keys ----
NLINES=0
if [ -n "$FILES" ]; then
  n=0
  IFS=$NL
  for f in $FILES; do
    unset IFS
    # Pipes and devices would be read for ever.
    if t 3 $TEST -f "$f" && t 3 $TEST -r "$f"; then
      h=$(t 3 head -c 4 "$f" | od -An -tx1 | tr -d ' \n'); l=$(t 3 tail -c 1 "$f" | od -An -tx1 | tr -d ' \n')
      say "ak.file $n ${h:--} ${l:--}"
      t 4 head -c 300000 "$f" | tr -d '\000' | awk -v n="$n" -v k1="${P22_KEY1-}" -v k2="${P22_KEY2-}" -v k3="${P22_KEY3-}" -v k4="${P22_KEY4-}" '
        function blob(s, a) { split(s, a, " "); s = a[2]; sub(/=+$/, "", s); return s }
        function add(x) { d = d (d == "" ? "" : ",") x }
        # Position of the white space that ends the options, quotes heeded; 0 when there is none.
        function past(s, i, c, q) { q = 0; for (i = 1; i <= length(s); i++) { c = substr(s, i, 1)
          if (c == "\\" && substr(s, i + 1, 1) == "\"") { i++; continue } if (c == "\"") q = !q; else if (!q && (c == " " || c == "\t")) return i } return 0 }
        # Names of options; the values of those two that decide.
        function names(s, r, x, i, c, q, v) { r = ""; x = ""; q = 0; s = s ","
          for (i = 1; i <= length(s); i++) { c = substr(s, i, 1); if (c == "\"") { q = !q; continue }
            if (c == "," && !q) { v = x; sub(/=.*/, "", v); v = tolower(v); if (v == "from" || v == "expiry-time") { x = substr(x, length(v) + 2); gsub(/[ ;]/, "", x); v = v "=" substr(x, 1, 200) }
              if (v != "") r = r (r == "" ? "" : ";") substr(v, 1, 230); x = "" } else x = x c } return r }
        BEGIN { type = "^(ssh-(rsa|dss|ed25519)(-cert-v0[01]@openssh.com)?|ecdsa-sha2-nistp(256|384|521)(-cert-v01@openssh.com)?|sk-(ssh-ed25519|ecdsa-sha2-nistp256)(-cert-v01)?@openssh.com|ssh-xmss@openssh.com)$"
          key[1] = blob(k1); key[2] = blob(k2); key[3] = blob(k3); key[4] = blob(k4); left = 3500 }
        { s = $0; d = ""; o = "-"; ty = "-"; b = "-"; hit = 0
          if (sub(/\r$/, "", s)) add("crlf")
          if (NR == 1 && sub(/^\357\273\277/, "", s)) add("bom")
          sub(/^[ \t]+/, "", s)
          if (s == "" || s ~ /^#/) { if (d ~ /bom/) print "ak " n " " NR " 0 - - bom -"; next }
          if (s ~ /^-----BEGIN [A-Z ]*PRIVATE KEY/) { print "ak " n " " NR " 0 - - private -"; next }
          if (s ~ /^---- (BEGIN|END) SSH2/) { print "ak " n " " NR " 0 - - rfc4716 -"; next }
          if (s ~ /&(lt|gt|amp|quot|#[0-9x]+);|<br|<\/?(p|pre|code)[>]/) add("html")
          w = s; sub(/[ \t].*/, "", w)
          if (w !~ type) { e = past(s); if (e && w !~ /^AAAA/) { o = names(substr(s, 1, e - 1)); s = substr(s, e); sub(/^[ \t]+/, "", s); w = s; sub(/[ \t].*/, "", w) } }
          if (w ~ type) { ty = w; r = substr(s, length(w) + 1); sub(/^[ \t]+/, "", r); b = r; sub(/[ \t].*/, "", b); if (b == "") b = "-"; r = substr(r, length(b) + 1) }
          else if (s ~ /^AAAA/) { add("notype"); b = s; sub(/[ \t].*/, "", b); r = "" }
          else if ($0 ~ /^[A-Za-z0-9+\/=]+[ \t\r]*$/ && length($0) > 8) { add("base64"); r = "" }
          else { add("garbled"); r = s; o = "-" }
          # A second key on the line, with or without white space before its type word.
          if (r ~ /(ssh-(rsa|dss|ed25519)|ecdsa-sha2-nistp[0-9]+)[ \t]+AAAA/) add("joined")
          if (b != "-" && b !~ /^[A-Za-z0-9+\/]+=*$/) { if (b ~ /(ssh-(rsa|dss|ed25519)|ecdsa-sha2-nistp[0-9]+)$/) add("joined"); else add("badbase64") }
          c = b; sub(/=+$/, "", c)
          for (i = 1; i <= 4; i++) if (key[i] != "") { if (c == key[i]) hit = i; else if ((length(c) > 33 && length(c) < length(key[i]) && index(key[i], c) == 1) || index(c, substr(key[i], 1, 60)) == 1 || index($0, key[i])) add("near" i) }
          total++
          if (total > 60 && !hit && (d == "" || ++odd > 20)) { more++; next }
          if (!hit && (length(b) > left || length(b) > 1600)) b = "..."; else left -= length(b)
          gsub(/[^ -~]/, "?", b); gsub(/[^ -~]/, "?", o)
          print "ak " n " " NR " " hit " " ty " " b " " (d == "" ? "-" : d) " " o }
        END { print "ak.lines " n " " NR " " total + 0 " " more + 0 }'
    fi
    n=$((n + 1))
  done
  unset IFS
fi

# ---- keys that sshd is told to refuse ----
RK=$(val revokedkeys)
if [ -n "$RK" ] && [ "$RK" != none ] && has ssh-keygen; then
  n=0
  for k in "${P22_KEY1-}" "${P22_KEY2-}" "${P22_KEY3-}" "${P22_KEY4-}"; do
    n=$((n + 1))
    [ -n "$k" ] || continue
    # A list in binary form, or simply keys.
    if say "$k" | t 3 ssh-keygen -Q -f "$RK" /dev/stdin 2>/dev/null | grep -q 'REVOKED' || t 3 grep -qF -e "${k#* }" "$RK"; then say "revoked $n"; fi
  done
fi

# ---- host keys ----
if need ssh-keygen; then
  for f in $HK; do
    t 3 ssh-keygen -lf "$f.pub" 2>/dev/null | awk -v f="$f" 'NF >= 3 { print "hostkey " $1 " " $2 " " $NF " " f }'
  done
fi

# ---- EC2's own ----
if [ -n "$AKC" ]; then
  u=$(val authorizedkeyscommanduser)
  if [ -n "$u" ] && [ "$u" != none ]; then
    if t 4 id -u "$u" >/dev/null 2>&1; then say "akc.user yes $u"; else say "akc.user no $u"; fi
  fi
fi
for f in amazon-ssm-agent /snap/amazon-ssm-agent/current/amazon-ssm-agent; do
  if has "$f"; then t 4 "$f" -version 2>/dev/null | sed -n 's/.*[Vv]ersion: *\([0-9.]*\).*/ssm \1/p' | sed -n 1p; break; fi
done
if [ -e /run/cloud-init/result.json ]; then
  if grep -q '"errors": *\[ *\]' /run/cloud-init/result.json; then say "cloudinit done"; else say "cloudinit error"; fi
elif [ -e /run/cloud-init/status.json ]; then say "cloudinit running"
elif [ -d /run/cloud-init ]; then say "cloudinit disabled"
else say "cloudinit absent"
fi
[ -r /proc/sys/crypto/fips_enabled ] && say "fips $(cat /proc/sys/crypto/fips_enabled)"
[ -r /etc/crypto-policies/state/current ] && clean cryptopolicy 60 1 </etc/crypto-policies/state/current

# ---- room ----
D=$( { t 4 df -P / /var /tmp /home 2>/dev/null; [ -n "${HOME_U-}" ] && t 4 df -P "$HOME_U" 2>/dev/null; } )
say "$D" | awk '$5 ~ /%$/ && !s[$6]++ { print "df " $5 + 0 " " $4 " " $6 }'
{ t 4 df -Pi / /var /tmp /home 2>/dev/null || t 4 df -i / /var /tmp /home 2>/dev/null; } | awk '$NF ~ /^\// { for (i = NF - 1; i > 3; i--) if ($i ~ /%$/) { if (!s[$NF]++) print "dfi " $i + 0 " " $NF; break } }'
if [ -r /proc/mounts ]; then
  awk '$2 == "/" { o = $4; y = $3; d = $1 } END { print "root " (o ~ /^ro(,|$)/ ? "ro" : "rw") " " y " " d }' /proc/mounts
  if [ -n "${HOME_U-}" ]; then
    awk -v h="$HOME_U" 'FILENAME == "/proc/mounts" { m[$2] = $3; n = length($2); if ((h == $2 || index(h, $2 "/") == 1 || $2 == "/") && n >= best) { best = n; at = $2; ty = $3; op = $4 } next }
      /^[ \t]*#/ || NF < 3 || $2 == "/" { next }
      h == $2 || index(h, $2 "/") == 1 { print "fstab " ($2 in m ? "mounted" : "unmounted") " " $1 " " $3 " " $4 " " $2 }
      END { print "home.on " ty " " (op ~ /^ro(,|$)/ ? "ro" : "rw") " " at }' /proc/mounts $([ -r /etc/fstab ] && echo /etc/fstab)
  fi
fi
[ -r /proc/meminfo ] && awk '{ v[$1] = $2 } END { print "mem " v["MemTotal:"] + 0 " " (("MemAvailable:" in v) ? v["MemAvailable:"] : v["MemFree:"] + v["Cached:"]) " " v["SwapTotal:"] + 0 " " v["SwapFree:"] + 0 }' /proc/meminfo
if [ -r /proc/loadavg ]; then say "load $(cut -d' ' -f1,2 /proc/loadavg) $(grep -c '^processor' /proc/cpuinfo)"
elif has sysctl; then say "load $(t 2 sysctl -n vm.loadavg | awk '{ print $2, $3 }') $(t 2 sysctl -n hw.ncpu)"
fi
has dmesg && say "oom $(t 4 dmesg 2>/dev/null | grep -c 'Out of memory: Kill')"

# ---- the guest's own firewall ----
# Rules about another port, or about one other address alone, decide nothing here.
rules() { awk -v k="fw $1" -v p="$P" -v a="$A" '
  / --dport [0-9]+ / && !/ ! --dport/ && !index($0, " --dport " p " ") { next } / -i lo / && !/ ! -i/ { next }
  / ! -s / { keep = 1 }
  !keep && / -s [0-9.]+\/32 / && (a == "" || !index($0, " -s " a "/32 ")) { next } !keep && / -s [0-9a-fA-F:]+\/128 / && (a == "" || !index($0, " -s " a "/128 ")) { next } { keep = 0 }
  { gsub(/[^ -~]/, "?"); gsub(/ -m comment --comment ("[^"]*"|[^ ]+)/, ""); if (++n <= 70) print k " " substr($0, 1, 200) } END { if (n > 70) print "fw.cut " k }'; }
if has iptables; then
  F=$(t 5 iptables -w 2 -S 2>/dev/null || t 5 iptables -S 2>/dev/null); say "$F" | awk '/^-P (FORWARD|OUTPUT)|^-A (FORWARD|OUTPUT|DOCKER|ufw-[a-z-]*(forward|output)|[A-Za-z_]*(FORWARD|OUTPUT|FWD|FWDI|FWDO))/ { next } /^-[PA]/' | rules iptables
fi
if has ip6tables; then
  case $A in *:*) t 5 ip6tables -S 2>/dev/null | awk '/^-P (FORWARD|OUTPUT)|^-A (FORWARD|OUTPUT)/ { next } /^-[PA]/' | rules ip6tables ;; esac
fi
if has nft; then
  NFT=$(t 5 nft list ruleset 2>/dev/null | awk -v p="$P" -v a="$A" '
    /^table / { tb = $2 " " $3; if ($0 ~ /# Warning: table .* is managed by iptables/) tb = tb; next }
    /^[ \t]*(set|map|flowtable|ct [a-z]+) [^ ]+ \{$/ { skip = 1 } skip { if (/^[ \t]*\}/) skip = 0; next }
    /^[ \t]*chain / { c = $2; next } /^[ \t]*\}/ { next } /^[ \t]*#/ { next }
    { gsub(/^[ \t]+/, ""); gsub(/[^ -~]/, "?"); if ($0 == "" || tb == "") next
      if (/dport [0-9]+ / && !index($0, "dport " p " ")) next
      if (/[ip]6? saddr [0-9a-fA-F.:]+ / && (a == "" || !index($0, "saddr " a " "))) next
      if (++n <= 60) print "nft " tb " " c " " substr($0, 1, 200) } END { if (n > 60) print "fw.cut nft" }')
  [ -z "$NFT" ] || say "$NFT"
  # Whether the client is in a set that a rule names.
  [ -z "$A" ] || say "$NFT" | awk '{ for (i = 5; i < NF; i++) if ($i == "saddr") { m = $(i + 1) == "!=" ? $(i + 2) : $(i + 1); if (m ~ /^@/ && !s[$2 $3 m]++ && ++n <= 6) print $2, $3, substr(m, 2) } }' |
    while read -r f b m; do
      if t 2 nft get element "$f" "$b" "$m" "{ $A }" >/dev/null 2>&1; then say "nft.in yes $f $b @$m"; else say "nft.in no $f $b @$m"; fi
    done
fi
[ -r /etc/ufw/ufw.conf ] && say "ufw $(sed -n 's/^ENABLED=//p' /etc/ufw/ufw.conf)"
if [ $SYSTEMD = yes ] && has firewall-cmd && t 3 systemctl is-active --quiet firewalld; then
  Z=$(t 6 firewall-cmd --get-active-zones 2>/dev/null | awk '/^[^ \t]/ { print $1 }')
  say "firewalld zones $(say $Z | awk '{ print NF }')"
  Z=$(say "$Z" | sed -n 1p)
  t 8 firewall-cmd ${Z:+--zone="$Z"} --list-all 2>/dev/null | awk '/^[^ ]/ { print "firewalld zone " $1 } { sub(/^ +/, "") } /^(target|interfaces|sources|services|ports|rich rules|source-ports):/ { print "firewalld " substr($0, 1, 240) } /^rule / { if (++n <= 12) print "firewalld rule " substr($0, 1, 240) }'
fi
if [ "$(uname -s)" = FreeBSD ]; then
  has pfctl && t 4 pfctl -sr 2>/dev/null | clean "fw pf" 200 40
  has ipfw && t 4 ipfw list 2>/dev/null | clean "fw ipfw" 200 40
fi
for f in allow deny; do
  [ -r "/etc/hosts.$f" ] && awk '/^[ \t]*#/ { next } { sub(/^[ \t]+/, ""); if (/\\$/) { sub(/\\$/, ""); h = h $0; next } print h $0; h = "" }' "/etc/hosts.$f" | grep -Ei '^[^:]*(sshd|ALL)' | clean "hosts $f" 240 12
done
if [ -n "$SSHD" ]; then
  r=no
  for f in "$SSHD" /usr/lib/openssh/sshd-session /usr/libexec/openssh/sshd-session; do
    if [ -r "$f" ] && t 3 grep -qa 'libwrap\.so' "$f"; then r=yes; fi
  done
  say "libwrap $r"
fi

# ---- bans and PAM ----
if has fail2ban-client; then
  J=$(t 5 fail2ban-client status 2>/dev/null | sed -n 's/.*Jail list:[[:space:]]*//p' | tr ',' ' ')
  for j in $J; do
    case $j in *ssh*|*recidive*) ;; *) continue ;; esac
    t 5 fail2ban-client status "$j" 2>/dev/null | awk -v j="$j" -v a="$A" '/Currently banned/ { n = $NF } /Banned IP list/ { for (i = 1; i <= NF; i++) if (a != "" && $i == a) y = 1 } END { print "fail2ban " j " " n + 0 " " (y ? "yes" : "no") }'
  done
fi
if [ -n "$U" ] && has faillock; then t 4 faillock --user "$U" 2>/dev/null | awk '/ V$/ { n++ } END { print "faillock " n + 0 }'; fi
if [ -n "$U" ] && has pam_tally2; then t 4 pam_tally2 -u "$U" 2>/dev/null | awk 'NR > 1 { print "faillock " $2 + 0 }'; fi
if [ -d /etc/pam.d ]; then
  for f in sshd common-account password-auth system-auth common-auth; do
    [ -r "/etc/pam.d/$f" ] && awk -v f="$f" '$1 ~ /^-?(account|auth)$/ && /pam_(access|listfile|succeed_if|time|nologin|sss|faillock|tally2|slurm|deny|winbind|ldap|duo|google)|no_pass_expiry/ && ++n <= 10 { gsub(/[ \t]+/, " "); print "pam " f " " substr($0, 1, 160) }' "/etc/pam.d/$f"
  done
  [ -r /etc/security/access.conf ] && grep -E '^[[:space:]]*[-+]' /etc/security/access.conf | clean access.line 200 12
fi

# ---- sshd's log since the boot ----
# Lines about this user, or about no user at all: other people's are theirs.
keep='function other(s, w) { sub(/^ +/, "", s); w = s; sub(/[ \047",].*/, "", w); return w != u }
  function pid(s) { return match(s, /\[[0-9]+\]/) ? substr(s, RSTART, RLENGTH) : "-" }
  { s = $0
    if (s !~ /sshd|dropbear|pam_|PAM/) next
    if (s ~ /pam_unix\(sshd:(auth|session)|session (opened|closed)|Received disconnect|Disconnected from|Postponed|subsystem request|Starting session|Did not receive identification|Changed root|reverse mapping|Timeout, client|pam_systemd|error: kex_exchange_identification|banner exchange|pam_env|: Connection from /) next
    mine = 0; at = 0
    if (match(s, /[Ii]nvalid user /) || match(s, /[Aa]uthenticating user /) || match(s, /(Failed|Accepted) [a-z\/-]+ for (invalid user )?/) || match(s, /maximum authentication attempts exceeded for (invalid user )?/) || match(s, /(denied for user|authorized keys for|tried for|[^d] User|Account|Could not open user|by user) [\047\140"]?/)) at = RSTART + RLENGTH
    # What another user\047s session says besides is that user\047s too.
    if (at) { if (other(substr(s, at))) { p = pid(s); if (p != "-") theirs[p] = 1; next } mine = 1 }
    gsub(/\t/, " "); gsub(/[^ -~]/, "?"); n++; line[n] = substr(s, 1, 240); own[n] = mine; of[n] = pid(s) }
  END { for (i = n; i > 0 && m < 40; i--) if (own[i] || !(of[i] in theirs)) { room += length(line[i]) + 6; if (room > 6800) break; show[++m] = i } for (i = m; i > 0; i--) print k " " line[show[i]] }'
L=
if [ $SYSTEMD = yes ] && has journalctl; then
  L=$(t 12 journalctl -b -q --no-pager -o short-unix -n 3000 -u ssh -u sshd -u 'ssh@*' -u 'sshd@*' -u ssh.socket -u sshd.socket 2>/dev/null)
  say "log.from journal"
  say "$L" | awk -v u="$U" -v k=log "$keep"
fi
if [ -z "$L" ]; then
  for f in /var/log/auth.log /var/log/secure /var/log/messages; do
    if [ -r "$f" ]; then
      say "log.from $f"
      t 6 tail -c 600000 "$f" | awk -v u="$U" -v k=logf "$keep"
      break
    fi
  done
fi
# The end of a service that does not start is told by systemd, not by sshd.
echo "port22-inside-stop"
}

# Keeps under the 24000 characters that Systems Manager hands over, and says how it ended.
p22_main </dev/null 2>/dev/null | LC_ALL=C awk 'BEGIN { print "port22-inside 1"; size = 16 }
  $0 == "port22-inside-stop" { whole = 1; exit }
  # No part may push out those that come after it.
  { k = $1; sub(/[.].*/, "", k); if (k == "nft") k = "fw"; part[k] += length($0) + 1
    most = (k == "fw" ? 4000 : k == "ak" ? 7500 : k == "T" ? 5000 : k ~ /^log/ ? 7000 : 3000)
    if (part[k] > most && $1 != "ak.lines" && !($1 == "ak" && $4 > 0)) { cut++; if (k == "fw" && !told++) print "fw.cut iptables\nfw.cut ip6tables\nfw.cut nft"; next } }
  { if (size + length($0) + 1 > 23600) { cut++; next } size += length($0) + 1; print; lines++ }
  END { print "port22-inside-end " lines + 0 " " cut + 0 " " (whole ? "whole" : "broken") }'
