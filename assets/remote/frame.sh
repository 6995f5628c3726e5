# What every script of port22 that changes something inside an instance has in common. It changes nothing by itself.
#
# Set by the caller ahead of it: P22_TOKEN, the name of this change. Before anything is changed, how it was is written
# to /var/lib/port22/TOKEN, which only root may read; what is there is enough to take the change back. One line of
# output for each thing that was looked at, kept or changed, and a last line that says how it ended:
#   port22-fix-end ok|nothing|fail CHANGES [REASON...]
# POSIX sh; runs on dash, bash and busybox. Never recursive; follows no link that a user could have made.

set -u
LC_ALL=C; LANG=C; export LC_ALL LANG
PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/run/current-system/sw/bin; export PATH
umask 077
D=/var/lib/port22/$P22_TOKEN
CHANGES=0; NOTED=0; SURE=no; LEFT=
say() { printf '%s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
t() { s=$1; shift; if has timeout; then timeout "$s" "$@"; else "$@"; fi; }
finish() { say "port22-fix-end $1 $CHANGES${2:+ $2}"; exit 0; }
did() {
  CHANGES=$((CHANGES + 1)); say "did $*"
  [ -d "$D" ] || return 0
  say "did $*" >>"$D/did"
  [ -r "$D/before" ] || return 0
  # Those that it names, and those that were kept since the last time.
  P22_DID=" $* " awk -v k="$NOTED" 'NR > k || index(ENVIRON["P22_DID"], " " $8 " ") { print $8 }' "$D/before" >"$D/touched"
  NOTED=$(awk 'END { print NR }' "$D/before")
  while read -r n_p; do note "$n_p" "$(state "$n_p")"; done <"$D/touched"
}
# A state that this change gives a path: where it is cut short, an undo sees whether somebody changed the path since.
note() { grep -qxF -e "$2 $1" "$D/after" 2>/dev/null || printf '%s\n' "$2 $1" >>"$D/after"; }
# Names that a shell or this output could misread are not touched.
plain() { case $1 in /*[!A-Za-z0-9._/@+,=:~-]*) give_up "odd-path" ;; /*) ;; *) give_up "odd-path" ;; esac; }
kind() {
  if [ -L "$1" ]; then say l; elif [ -d "$1" ]; then say d; elif [ -f "$1" ]; then say f; elif [ -e "$1" ]; then say o; else say -; fi
}
# Mode, owner, group and number of names of a path itself.
if stat -c %u / >/dev/null 2>&1; then look() { stat -c '%a %u %g %h' "$1"; }; else look() { stat -f '%Mp%Lp %u %g %l' "$1"; }; fi
sum() {
  if has sha256sum; then sha256sum <"$1" | cut -d' ' -f1; elif has sha256; then sha256 <"$1"; else cksum <"$1" | tr ' ' -; fi
}
# All that an undo must bring back of a path, in one word.
state() {
  case $(kind "$1") in
    -) say - ;;
    l) say "l:$(readlink "$1")" ;;
    f) say "f:$(look "$1" | cut -d' ' -f1-3 | tr ' ' :):$(sum "$1")" ;;
    *) say "$(kind "$1"):$(look "$1" | cut -d' ' -f1-3 | tr ' ' :)" ;;
  esac
}
context() { if [ "$SELINUX" = yes ]; then stat -c %C "$1" 2>/dev/null || say -; else say -; fi; }
SELINUX=no
if has getenforce && [ "$(getenforce 2>/dev/null)" != Disabled ] && has restorecon; then SELINUX=yes; fi

# Writes down how a path is, once for its mode and owner, and once for its content (c) before that is changed.
keep() {
  mkdir -p "$D" 2>/dev/null || finish fail "no-backup"
  if [ -e "$D/before" ] && awk -v p="$1" -v c="${2:--}" '$8 == p && $6 == c { f = 1 } END { exit !f }' "$D/before"; then return; fi
  n=0
  if [ -e "$D/before" ]; then n=$(awk 'END { print NR }' "$D/before"); fi
  n=$((n + 1)); k=$(kind "$1")
  case $k in
    -) l="$n - 0 0 0 ${2:--} - $1" ;;
    l) l="$n l 0 0 0 $(readlink "$1") - $1" ;;
    *) l="$n $k $(look "$1" | cut -d' ' -f1-3) ${2:--} $(context "$1") $1" ;;
  esac
  if [ "$k" = f ] && [ "${2:--}" = c ]; then
    cp -p "$1" "$D/$n" 2>/dev/null && [ "$(sum "$1")" = "$(sum "$D/$n")" ] || give_up "no-backup"
  fi
  printf '%s\n' "$l" >>"$D/before" 2>/dev/null || give_up "no-backup"
  [ "$(tail -n 1 "$D/before")" = "$l" ] || give_up "no-backup"
  say "before $(state "$1") $1"
}

# An attribute that forbids changes is named, taken off for the change, and put back at the end.
lift() {
  has lsattr && has chattr && [ -e "$1" ] && [ ! -L "$1" ] || return 0
  a=$(lsattr -d "$1" 2>/dev/null | cut -d' ' -f1 | tr -cd 'ai')
  [ -n "$a" ] || return 0
  say "attribute $a $1"
  mkdir -p "$D" 2>/dev/null || finish fail "no-backup"
  grep -qxF "$a $1" "$D/attributes" 2>/dev/null || printf '%s\n' "$a $1" >>"$D/attributes" 2>/dev/null || finish fail "no-backup"
  chattr "-$a" "$1" 2>/dev/null || give_up "immutable $1"
}
lower() {
  [ -r "$D/attributes" ] || return 0
  while read -r a p; do chattr "+$a" "$p" 2>/dev/null; done <"$D/attributes"
}

chmode() {
  lift "$2"; keep "$2"; b=$(look "$2" | cut -d' ' -f1)
  chmod "$1" "$2" 2>/dev/null
  a=$(look "$2" | cut -d' ' -f1)
  [ "$a" != "$b" ] || give_up "cannot-change-mode $2"
  did "mode $b $a $2"
}
give() {
  lift "$2"; keep "$2"; b=$(look "$2" | cut -d' ' -f2,3 | tr ' ' :)
  chown -h "$1" "$2" 2>/dev/null || give_up "cannot-change-owner $2"
  did "owner $b $1 $2"
}
relabel() {
  [ "$SELINUX" = yes ] && [ -e "$1" ] || return 0
  b=$(stat -c %C "$1" 2>/dev/null) || return 0
  if has matchpathcon; then w=$(matchpathcon -n "$1" 2>/dev/null); else w=$(restorecon -nvF "$1" 2>/dev/null | sed -n '1s/.* to //p'); fi
  [ -n "$w" ] && [ "$(say "$b" | cut -d: -f3)" != "$(say "$w" | cut -d: -f3)" ] || return 0
  lift "$1"; keep "$1"
  restorecon -F "$1" 2>/dev/null || { say "left label $b $1"; return 0; }
  did "label $b $(stat -c %C "$1") $1"
}
# A directory that was not there: path, mode, owner.
made_dir() {
  lift "$(dirname "$1")"; keep "$1"
  mkdir "$1" 2>/dev/null || give_up "cannot-make $1"
  chown -h "$3" "$1" && chmod "$2" "$1" || give_up "cannot-make $1"
  did "made $1"
}

# How everything is that was changed, so that an undo sees whether somebody changed it since.
seal() {
  lower
  if [ $CHANGES = 0 ]; then rm -rf "$D"; return 0; fi
  left_as; : >"$D/done"
}
left_as() {
  [ -e "$D/before" ] || : >"$D/before"
  while read -r n k m u g c x p; do printf '%s\n' "$(state "$p") $p"; done <"$D/before" >"$D/after" 2>/dev/null
}

# Puts back what $D/before says, last first. Changes nothing when somebody else changed one of these since.
restore() {
  [ -r "$D/before" ] || [ -r "$D/service" ] || [ -r "$D/values" ] || return 0
  if [ $SURE = no ]; then
    values_same || { LEFT=value; return 1; }
    if [ -r "$D/before" ]; then
      while read -r n k m u g c x p; do
        if ! ours "$k" "$p"; then LEFT=$p; say "left $p"; return 1; fi
      done <"$D/before"
    fi
  fi
  if [ -r "$D/service" ]; then services_back stop; fi
  if [ -r "$D/attributes" ]; then while read -r a p; do chattr "-$a" "$p" 2>/dev/null; done <"$D/attributes"; fi
  bad=0
  if [ -r "$D/before" ]; then
    sort -rn "$D/before" >"$D/order"
    while read -r n k m u g c x p; do back "$n" "$k" "$m" "$u" "$g" "$c" "$x" "$p" || { say "left $p"; bad=1; }; done <"$D/order"
  fi
  values_back || bad=1
  lower
  if [ -r "$D/service" ]; then services_back start; fi
  return $bad
}
# Whether a path, of this kind before, is as this change left it or as it was first. Where the change was cut short
# nobody wrote down how it left the last one: what is missing or empty there holds nothing of anybody's.
ours() {
  o_s=$(state "$2")
  if grep -qxF -e "$o_s $2" "$D/after" 2>/dev/null || undone "$2"; then return 0; fi
  [ ! -e "$D/done" ] || return 1
  case $o_s in
    -) return 0 ;;
    f:*) [ ! -s "$2" ] ;;
    # Only an empty one is removed.
    d:*) [ "$1" = - ] ;;
    *) return 1 ;;
  esac
}
# Whether a path is already as it was first: its mode and owner of the first line, its content of the one that has it.
undone() {
  set -- "$1" $(awk -v p="$1" '$8 == p { if (!f) { f = 1; n = $1; r = $2 " " $3 " " $4 " " $5; l = $6 } if ($2 == "f" && $6 == "c") { n = $1; l = "c"; exit } } END { if (f) print n, r, l }' "$D/before")
  [ $# -gt 1 ] || return 1
  case $3 in
    -) [ "$(kind "$1")" = - ] ;;
    l) [ "$(state "$1")" = "l:$7" ] ;;
    f) case $(state "$1") in "f:$4:$5:$6:"*) [ "$7" != c ] || [ "$(sum "$1")" = "$(sum "$D/$2")" ] ;; *) false ;; esac ;;
    *) [ "$(state "$1")" = "$3:$4:$5:$6" ] ;;
  esac
}
back() {
  now=$(kind "$8")
  case $2 in
    -) case $now in
         -) return 0 ;;
         d) rmdir "$8" 2>/dev/null || return 1 ;;
         *) rm -f "$8" 2>/dev/null || return 1 ;;
       esac ;;
    l) [ "$now" = l ] && return 0
       [ "$now" = - ] && ln -s "$6" "$8" 2>/dev/null || return 1 ;;
    *) case $now in
         l) return 1 ;;
         -) case $2$6 in fc) ;; d*) mkdir "$8" 2>/dev/null || return 1 ;; *) return 1 ;; esac ;;
       esac
       [ "$now" = - ] || [ "$now" = "$2" ] || return 1
       b=$(state "$8")
       if [ "$2$6" = fc ] && { [ "$now" = - ] || [ "$(sum "$8")" != "$(sum "$D/$1")" ]; }; then
         cat "$D/$1" >"$8" 2>/dev/null || return 1
         [ "$(sum "$8")" = "$(sum "$D/$1")" ] || return 1
       fi
       chown -h "$4:$5" "$8" 2>/dev/null && chmod "$3" "$8" 2>/dev/null || return 1
       if [ "$7" != - ] && [ "$(context "$8")" != "$7" ]; then chcon "$7" "$8" 2>/dev/null; fi
       [ "$b" = "$(state "$8")" ] && return 0 ;;
  esac
  did "back $8"
}
# What became of sshd's service; scripts that touch it say how.
services_back() { :; }
# What became of values that are no files; scripts that change some say how.
values_same() { :; }
values_back() { :; }

# Ends without a change: what was changed so far is put back.
give_up() {
  # Whatever is there now is of this very run, half a file too.
  SURE=yes
  if restore >/dev/null; then CHANGES=0; rm -rf "$D"; finish fail "$1"; fi
  left_as; : >"$D/done"; finish fail "not-put-back $1"
}

say "port22-fix 1 $P22_JOB $P22_TOKEN"
# An earlier attempt of the same change: one that came to its end is told again, one that was cut short begins anew.
begin() {
  [ -d "$D" ] || return 0
  if [ -e "$D/done" ]; then
    cat "$D/did"; CHANGES=$(awk 'END { print NR }' "$D/did")
    finish ok "earlier"
  fi
  if ! restore >/dev/null; then
    [ -n "$LEFT" ] || finish fail "not-put-back earlier-attempt"
    say "left $LEFT"; finish fail "changed-since"
  fi
  rm -rf "$D"; CHANGES=0
}
