#!/bin/sh
# After the package is unpacked: the two commands, the window's sandbox, the file type, and where
# AppArmor is, the profile that grants user namespaces. Never fails the installation.
# NYMPH_PACKAGE_ROOT is for tests: a folder that stands for /.
root=$NYMPH_PACKAGE_ROOT
app=/opt/Nymph

mkdir -p "$root/usr/bin"
ln -sf "$app/nymph-desktop" "$root/usr/bin/nymph-desktop"
ln -sf "$app/resources/nymph/bin/nymph" "$root/usr/bin/nymph"

# Chromium's older sandbox, set-uid root, only where user namespaces cannot be had.
sandbox=$root$app/chrome-sandbox
if [ -f "$sandbox" ]; then
  if unshare --user true 2>/dev/null; then chmod 0755 "$sandbox"; else chmod 4755 "$sandbox"; fi
fi

# An older AppArmor does not know the word userns, and needs no profile either.
profile=$root$app/resources/apparmor-profile
if [ -f "$profile" ] && apparmor_parser --skip-kernel-load "$profile" >/dev/null 2>&1; then
  mkdir -p "$root/etc/apparmor.d"
  cp "$profile" "$root/etc/apparmor.d/nymph-desktop"
  # In the making of an image nothing of the running system is touched.
  if [ -z "$root" ] && ! ischroot 2>/dev/null; then
    apparmor_parser --replace --write-cache /etc/apparmor.d/nymph-desktop || true
  fi
fi

if [ -z "$root" ]; then
  update-mime-database /usr/share/mime >/dev/null 2>&1 || true
  update-desktop-database /usr/share/applications >/dev/null 2>&1 || true
fi
exit 0
