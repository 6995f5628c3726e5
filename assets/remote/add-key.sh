# Adds one public key to the file that sshd reads for a user, or puts it in the place of another.
# Set by the caller: P22_KEY (type, base64, comment), P22_OLD (base64 of the key that goes; may be empty).

KT=${P22_KEY%% *}; KB=${P22_KEY#* }; KB=${KB%% *}
[ -n "$FILES" ] || finish fail "no-key-file none"
# The first file that is there; sshd reads them all.
F=
for one in $FILES; do
  case $(kind "$one") in -) ;; *) F=$one; break ;; esac
done
[ -n "$F" ] || for one in $FILES; do F=$one; break; done
for one in $FILES; do
  # A link, a directory, a pipe: nothing is written there.
  case $(kind "$one") in -|f) ;; l) finish fail "link $one" ;; *) finish fail "not-a-file $one" ;; esac
done
if [ ! -d "$H" ]; then
  [ -d "$(dirname "$H")" ] && [ "$(kind "$H")" = - ] || finish fail "no-home $H"
  made_dir "$H" 700 "$I:$G"
fi
P=$(dirname "$F")
if [ "$(kind "$P")" = - ]; then
  [ -d "$(dirname "$P")" ] || give_up "no-directory $(dirname "$P")"
  if inside_home "$P"; then made_dir "$P" 700 "$I:$G"; else made_dir "$P" 755 0:0; fi
fi
# How a file has the key: alone on a line, with options before it that limit it, or not at all.
holds() {
  awk -v t="$KT" -v b="$KB" '
    { sub(/\r$/, ""); s = $0; sub(/^[ \t]+/, "", s); if (s ~ /^#/) next
      n = split(s, w, /[ \t]+/)
      if (w[1] == t && w[2] == b) { plain = 1; next }
      for (i = 2; i < n; i++) if (w[i] == t && w[i + 1] == b) { o = tolower(substr(s, 1, index(s, t " ") - 1)); if (o ~ /(^|,)(from|expiry-time|command)="/ && o !~ /cert-authority/) limited = 1 } }
    END { print plain ? "plain" : limited ? "limited" : "no" }' "$1"
}
HAS=no
for one in $FILES; do
  [ -f "$one" ] || continue
  h=$(holds "$one")
  case $h in plain) HAS=plain; break ;; limited) HAS=limited ;; esac
done
[ $HAS != limited ] || give_up "limited"
if [ $HAS = no ]; then
  if [ ! -e "$F" ]; then
    lift "$P"; keep "$F" c
    # Not a file that somebody has put there meanwhile.
    (set -C; : >"$F") 2>/dev/null || give_up "cannot-make $F"
    if inside_home "$F"; then chown -h "$I:$G" "$F"; chmod 600 "$F"; else chmod 644 "$F"; fi
    did "made $F"
  else
    [ "$(look "$F" | cut -d' ' -f4)" = 1 ] || give_up "several-names $F"
    lift "$F"; keep "$F" c
  fi
  if [ -s "$F" ] && [ -n "$(tail -c 1 "$F" | tr '\n' ' ' | tr -d ' ')" ]; then echo >>"$F"; say "note last-line-ended $F"; fi
  if [ -s "$F" ] && [ "$(tail -c 1 "$F" | od -An -tu1 | tr -d ' ')" = 0 ]; then echo >>"$F"; fi
  printf '%s\n' "$P22_KEY" >>"$F" 2>/dev/null
  [ "$(tail -n 1 "$F")" = "$P22_KEY" ] || give_up "cannot-write $F"
  did "key-added $F"
fi
if [ -n "$P22_OLD" ] && [ "$P22_OLD" != "$KB" ]; then
  for one in $FILES; do
    [ -f "$one" ] && awk -v b="$P22_OLD" '{ for (i = 1; i <= NF; i++) if ($i == b) f = 1 } END { exit !f }' "$one" || continue
    [ "$(look "$one" | cut -d' ' -f4)" = 1 ] || give_up "several-names $one"
    lift "$one"; keep "$one" c
    awk -v b="$P22_OLD" '{ for (i = 1; i <= NF; i++) if ($i == b) next } { print }' "$one" >"$D/new" || give_up "cannot-write $one"
    grep -qF "$KB" "$D/new" || [ "$one" != "$F" ] || give_up "cannot-write $one"
    note "$one" "f:$(look "$one" | cut -d' ' -f1-3 | tr ' ' :):$(sum "$D/new")"
    cat "$D/new" >"$one" 2>/dev/null
    [ "$(sum "$one")" = "$(sum "$D/new")" ] || give_up "cannot-write $one"
    rm -f "$D/new"
    did "key-removed $one"
  done
fi
# A key in a file that sshd does not trust is of no use.
open_way "$F" || give_up "cannot-write $F"
seal
if [ $CHANGES = 0 ]; then finish nothing; fi
finish ok
