#!/bin/bash
# Boots systemd in a root of its own: this one, with a layer above it that is gone afterwards. Prints what drill.sh says.
# Arguments: a folder to work in, the source, Python's packages, Python itself, a folder for /etc/landfast.
# Ends with 77 where this kernel or its administrator allows no such thing.
set -u

if [ "${6:-}" != inside ]; then
  named=/sys/fs/cgroup/systemd
  [ -d "$named" ] || named=/sys/fs/cgroup
  own="$named/landfast-test-$$"
  mkdir "$own" 2> /dev/null && echo $$ > "$own/cgroup.procs" || exit 77
  unshare --mount --pid --fork --cgroup --kill-child "$0" "$1" "$2" "$3" "$4" "$5" inside 4>&1
  status=$?
  echo $$ > "$named/cgroup.procs"
  find "$own" -depth -type d -exec rmdir {} + 2> /dev/null
  exit "$status"
fi

root="$1/root"
mount -t tmpfs tmpfs "$1" || exit 77
mkdir "$1/upper" "$1/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root" || exit 77
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || exit 77
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd" || exit 77
fi
for folder in run tmp var/lib var/log; do mount -t tmpfs tmpfs "$root/$folder"; done
mkdir -p "$root/opt/source" "$root/opt/packages" "$root/opt/python" "$root/etc/landfast"
mount --bind "$2" "$root/opt/source"
mount --bind "$3" "$root/opt/packages"
mount --bind "$4" "$root/opt/python"
cp -r "$5/." "$root/etc/landfast/"
rm -rf "$root"/etc/systemd/system/*
: > "$root/etc/machine-id"
cat > "$root/usr/local/bin/landfast" << 'END'
#!/opt/python/bin/python3 -P
import sys
sys.path[:0] = ["/opt/source", "/opt/packages"]
from deploy.cli import main
sys.exit(main())
END
chmod 755 "$root/usr/local/bin/landfast"
cat > "$root/etc/systemd/system/drill.service" << 'END'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
StandardOutput=file:/run/drill.log
StandardError=file:/run/drill.log
ExecStart=/bin/bash /etc/landfast/drill.sh
ExecStopPost=/bin/touch /run/drill.done
END
mkdir "$root/old"
cd "$root" || exit 77
pivot_root . old
cd /
umount -l /old
(
  until [ -e /run/drill.done ]; do sleep 0.1; done
  cat /run/drill.log >&4
  kill -RTMIN+13 1 # systemd's signal for an immediate halt
) &
export container=lxc
exec /lib/systemd/systemd --system --unit=drill.service --show-status=no --log-target=null > /dev/null 2>&1
