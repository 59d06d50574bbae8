#!/bin/sh
# After the package is removed: what after-install.sh has made. An upgrade removes the old package
# after the new one is there ("upgrade" for dpkg, 1 for rpm), and then everything stays.
case "$1" in upgrade | 1) exit 0 ;; esac
root=$NYMPH_PACKAGE_ROOT

for command in nymph nymph-desktop; do
  link=$root/usr/bin/$command
  case "$(readlink "$link")" in /opt/Nymph/*) rm -f "$link" ;; esac
done

profile=$root/etc/apparmor.d/nymph-desktop
if [ -f "$profile" ]; then
  [ -n "$root" ] || apparmor_parser --remove "$profile" 2>/dev/null || true
  rm -f "$profile"
fi
exit 0
