# Gives the login files of one user the owner and the rights that sshd asks for, and nothing else.

[ -n "$FILES" ] || finish fail "no-key-file none"
[ -d "$H" ] || finish fail "no-home $H"
FOUND=
for one in $FILES; do
  if open_way "$one"; then FOUND=yes; fi
done
seal
[ -n "$FOUND" ] || finish "$([ $CHANGES = 0 ] && say fail || say ok)" "no-key-file${FILES}"
if [ $CHANGES = 0 ]; then finish nothing; fi
finish ok
