# sshd's service under systemd, OpenRC, init scripts or nothing, and who listens where. Shared by scripts.

SSHD=
for f in sshd /usr/sbin/sshd /usr/lib/openssh/sshd /usr/local/sbin/sshd; do
  if has "$f"; then SSHD=$(command -v "$f"); break; fi
done
INIT=other; SERVICE=sshd
if [ -d /run/systemd/system ] && has systemctl; then
  INIT=systemd
  for f in ssh sshd; do
    if [ -e "/usr/lib/systemd/system/$f.service" ] || [ -e "/lib/systemd/system/$f.service" ] || [ -f "/etc/systemd/system/$f.service" ]; then SERVICE=$f; break; fi
  done
elif has rc-service && has rc-update; then INIT=openrc
elif [ -r /etc/rc.subr ] && has service; then INIT=rc
else
  for f in ssh sshd; do if [ -x "/etc/init.d/$f" ]; then INIT=sysv; SERVICE=$f; break; fi; done
fi
SOCKET=no
if [ $INIT = systemd ] && { t 5 systemctl is-active --quiet ssh.socket || t 5 systemctl is-enabled --quiet ssh.socket; } 2>/dev/null; then SOCKET=yes; fi
pid_file() { for f in /run/sshd.pid /var/run/sshd.pid; do if [ -s "$f" ]; then cat "$f"; return; fi; done; }
service_do() {
  u=$SERVICE.service
  if [ $SOCKET = yes ] && [ "$1" != reload ]; then u=ssh.socket; fi
  case $INIT:$1 in
    systemd:reload) if [ $SOCKET = yes ]; then t 30 systemctl daemon-reload; t 60 systemctl restart ssh.socket; fi
      if t 5 systemctl is-active --quiet "$SERVICE.service"; then t 60 systemctl reload "$SERVICE.service"; else [ $SOCKET = yes ]; fi ;;
    systemd:start) t 30 systemctl daemon-reload; t 10 systemctl reset-failed "$u"; t 60 systemctl start "$u" ;;
    systemd:*) t 60 systemctl "$1" "$u" ;;
    openrc:enable) rc-update add $SERVICE default ;;
    openrc:disable) rc-update del $SERVICE default ;;
    openrc:*) t 60 rc-service $SERVICE "$1" ;;
    rc:enable) sysrc sshd_enable=YES ;;
    rc:disable) sysrc sshd_enable=NO ;;
    rc:*) t 60 service sshd "one$1" ;;
    sysv:enable) if has update-rc.d; then update-rc.d $SERVICE enable; else chkconfig $SERVICE on; fi ;;
    sysv:disable) if has update-rc.d; then update-rc.d $SERVICE disable; else chkconfig $SERVICE off; fi ;;
    sysv:*) t 60 "/etc/init.d/$SERVICE" "$1" ;;
    other:start) t 20 "$SSHD" ;;
    other:stop) kill "$(pid_file)" ;;
    other:reload) kill -HUP "$(pid_file)" ;;
    *) : ;;
  esac >/dev/null 2>&1 </dev/null
}
enabled() {
  case $INIT in
    systemd) if [ $SOCKET = yes ]; then return 0; fi; t 5 systemctl is-enabled --quiet "$SERVICE.service" 2>/dev/null ;;
    openrc) rc-update show default 2>/dev/null | grep -q "^ *$SERVICE " ;;
    rc) grep -qi '^sshd_enable="*yes' /etc/rc.conf ;;
    sysv) for f in /etc/rc[2345].d/S??$SERVICE /etc/rc.d/rc[2345].d/S??$SERVICE; do if [ -e "$f" ]; then return 0; fi; done; return 1 ;;
    *) return 0 ;;
  esac
}
# Who listens: address, port, program; one a line.
listeners() {
  if has ss; then
    t 5 ss -ltnp 2>/dev/null | awk '$1 == "LISTEN" { n = match($4, /:[0-9]+$/); a = substr($4, 1, n - 1); gsub(/[][]/, "", a); sub(/%.*/, "", a); p = "?"; if (match($0, /\(\("[^"]+"/)) p = substr($0, RSTART + 3, RLENGTH - 4); print a, substr($4, n + 1), p }'
  elif has netstat; then
    t 5 netstat -ltnp 2>/dev/null | awk '/LISTEN/ { n = match($4, /:[0-9]+$/); p = $7; sub(/^[0-9]*\//, "", p); sub(/:.*/, "", p); print substr($4, 1, n - 1), substr($4, n + 1), (p == "" || p == "-" ? "?" : p) }'
  else
    awk 'function hex(s,  i, v) { for (i = 1; i <= length(s); i++) v = v * 16 + index("0123456789ABCDEF", substr(s, i, 1)) - 1; return v }
      $4 == "0A" { split($2, l, ":"); print (l[1] ~ /^0+$/ ? "*" : l[1]), hex(l[2]), "?" }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
  fi
}
# Whether sshd, or systemd for it, listens at a port in a way that can be reached; without one, anywhere at all.
listens() {
  listeners | awk -v p="${1-}" -v own="${P22_OWN-}" '
    $3 !~ /^(sshd|systemd|init|\?)$/ { next }
    p == "" { f = ($3 == "sshd") ? 1 : f; next }
    $2 == p && ($1 == "0.0.0.0" || $1 == "::" || $1 == "*" || $1 == own) { f = 1 }
    END { exit !f }'
}
services_back() {
  if [ "$1" = stop ]; then
    grep -qx started "$D/service" && service_do stop
    grep -qx enabled "$D/service" && service_do disable
  else
    if [ $INIT = systemd ]; then t 30 systemctl daemon-reload >/dev/null 2>&1; fi
    if grep -qx reloaded "$D/service"; then
      # A configuration that sshd cannot read would end it; it was so before only where sshd was down.
      if t 10 "$SSHD" -t >/dev/null 2>&1; then service_do reload; sleep 1; else say "note not-reloaded"; fi
    fi
  fi
  return 0
}
serviced() { mkdir -p "$D" 2>/dev/null && say "$1" >>"$D/service" || give_up "no-backup"; did "service $1"; }
