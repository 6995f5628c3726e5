# Takes back the change that P22_TOKEN names, from what was written down before it was made; P22_JOB=status only tells
# whether there is something to take back.

if [ "$P22_JOB" = status ]; then
  if [ -e "$D/undone" ] || [ ! -d "$D" ]; then finish nothing; fi
  [ ! -r "$D/did" ] || { cat "$D/did"; CHANGES=$(awk 'END { print NR }' "$D/did"); }
  finish ok "$([ -e "$D/done" ] || say cut-short)"
fi
[ ! -e "$D/undone" ] || finish nothing
[ -d "$D" ] || finish fail "no-record"
restore || finish fail "changed-since"
# The copies have served; that it was taken back is remembered.
rm -rf "$D"; mkdir -p "$D"; : >"$D/undone"
finish ok
