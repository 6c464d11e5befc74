# What an administrator and time do to a host. Each line that is printed is looked at by the test.
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root PYTHONDONTWRITEBYTECODE=1
site=/etc/landfast/landfast.toml

apply() {
  landfast apply $site 2> /dev/null | tail -1 | sed "s/^/apply $1: /"
}

check() {
  systemctl start landfast-check.service landfast-verify.service 2> /dev/null
  for unit in check verify; do
    echo "$unit $1: $(systemctl show landfast-$unit.service --property=Result,ExecMainStatus | sort | tr '\n' ' ')"
  done
}

timer() {
  echo "timer $1: $(systemctl show landfast-check.timer --property=ActiveState | tr '\n' ' ')"
}

apply bare
apply again
timer bare
check whole
echo '# a rule more' >> /etc/landfast/policy.toml
check drifted
apply drifted
check mended
blob=$(ls /var/lib/landfast/store/blobs/sha256/*)
chmod 644 "$blob"
printf x | dd of="$blob" bs=1 seek=5000000 conv=notrunc 2> /dev/null
check damaged
apply damaged
check cured
systemctl stop landfast-check.timer
apply stopped
timer stopped
sed -i '/^\[drift\]/,$d' $site
apply unwatched
timer unwatched
