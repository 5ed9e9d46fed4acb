#!/bin/sh
# Makes the packages from ./redisha into build/packages: deb, tar.gz, npm tarball, Containerfile.
# PACKAGES="deb tar npm container" chooses, COMPRESSION=none|xz is for tests (none is quick), VERSION for a version other than package.json's.
set -eu
cd "$(dirname "$0")/.."
version=${VERSION:-$(sed -n 's/.*"version": "\(.*\)".*/\1/p' package.json | head -n 1)}
packages=${PACKAGES:-deb tar npm container}
compression=${COMPRESSION:-xz}
out=${OUT:-build/packages}
binary=${REDISHA:-./redisha}
case $(uname -m) in x86_64) arch=amd64 cpu=x64 ;; aarch64) arch=arm64 cpu=arm64 ;; *) arch=$(uname -m) cpu=$arch ;; esac
[ -x "$binary" ] || { echo "packaging: build first: ./build.sh" >&2; exit 1; }
mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# A sample as an installed system has it: program, folders and user of the package.
installed() { sed -e 's#/usr/local/bin/redisha#/usr/bin/redisha#g' -e 's#/etc/redis\b#/etc/redisha#g' -e 's#/etc/haproxy\b#/etc/redisha#g' \
  -e 's#/var/lib/redis\b#/var/lib/redisha#g' -e 's#/var/log/redis\b#/var/log/redisha#g' -e 's#^\(User\|Group\|RuntimeDirectory\|StateDirectory\)=redis$#\1=redisha#' "$1"; }

tree() { # the files of an installed system below $1, with the binary linked or copied in
  root=$1
  mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/share/doc/redisha" "$root/usr/share/man/man1" "$root/usr/share/bash-completion/completions" \
    "$root/usr/share/zsh/vendor-completions" "$root/lib/systemd/system" "$root/etc/redisha" "$root/etc/init.d" "$root/etc/default"
  install -m 755 "$binary" "$root/usr/bin/redisha"
  for f in redis.conf sentinel.conf haproxy.cfg; do installed "conf/$f" >"$root/etc/redisha/$f"; done
  # Samples for a machine say where the data goes; the sources' samples use the folder they are started in.
  sed -i -e 's#^dir \./$#dir /var/lib/redisha#' "$root/etc/redisha/redis.conf"
  sed -i -e 's#^dir /tmp$#dir /var/lib/redisha#' "$root/etc/redisha/sentinel.conf"
  installed conf/redis.service >"$root/lib/systemd/system/redisha-server.service"
  installed conf/sentinel.service >"$root/lib/systemd/system/redisha-sentinel.service"
  installed conf/haproxy.service >"$root/lib/systemd/system/redisha-proxy.service"
  # One unit for many servers of a machine: redisha-server@6380 takes /etc/redisha/6380.conf.
  sed -e 's#/etc/redisha/redis.conf#/etc/redisha/%i.conf#' -e 's#^RuntimeDirectory=.*#RuntimeDirectory=redisha-%i#' \
    "$root/lib/systemd/system/redisha-server.service" >"$root/lib/systemd/system/redisha-server@.service"
  for s in server sentinel proxy; do
    sample=conf/redis.init
    [ "$s" = proxy ] && sample=conf/haproxy.init
    installed $sample | sed -e "s#^\(. Provides: *\).*#\1redisha-$s#" -e "s#/etc/default/haproxy#/etc/default/redisha-proxy#g" \
      -e "s#/var/run/haproxy.pid#/var/run/redisha-proxy.pid#" >"$root/etc/init.d/redisha-$s"
    chmod 755 "$root/etc/init.d/redisha-$s"
  done
  # The init scripts take the configuration file's name from here.
  echo 'CONF=/etc/redisha/redis.conf' >"$root/etc/default/redisha-server"
  printf 'CONF=/etc/redisha/sentinel.conf\nSENTINEL=yes\n' >"$root/etc/default/redisha-sentinel"
  echo 'CONFIG=/etc/redisha/haproxy.cfg' >"$root/etc/default/redisha-proxy"
  for m in packaging/man/*.1; do gzip -9n <"$m" >"$root/usr/share/man/man1/$(basename "$m").gz"; done
  cp packaging/completion/redisha.bash "$root/usr/share/bash-completion/completions/redisha"
  cp packaging/completion/_redisha "$root/usr/share/zsh/vendor-completions/_redisha"
  cp README.md CHANGELOG.md "$root/usr/share/doc/redisha/"
  cp LICENSE "$root/usr/share/doc/redisha/copyright"
  for d in docs; do [ ! -d "$d" ] || cp -r "$d" "$root/usr/share/doc/redisha/"; done
}

deb() {
  root=$stage/deb
  tree "$root"
  mkdir -p "$root/DEBIAN"
  size=$(du -sk "$root" | cut -f 1)
  sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" packaging/debian/control >"$root/DEBIAN/control"
  (cd "$root" && find etc -type f | sort | sed 's#^#/#') >"$root/DEBIAN/conffiles"
  for script in postinst prerm postrm; do install -m 755 packaging/debian/$script "$root/DEBIAN/$script"; done
  dpkg-deb --root-owner-group -Z"$compression" --build "$root" "$out/redisha_${version}_$arch.deb" >/dev/null
  echo "$out/redisha_${version}_$arch.deb"
}
tarball() {
  root=$stage/tar/redisha-$version
  tree "$root"
  if [ "$compression" = none ]; then level=-1; else level=-9; fi
  tar -C "$stage/tar" --owner 0 --group 0 -cf - "redisha-$version" | gzip $level >"$out/redisha-$version-linux-$cpu.tar.gz"
  echo "$out/redisha-$version-linux-$cpu.tar.gz"
}
npmball() {
  root=$stage/npm/package
  mkdir -p "$root/bin"
  install -m 755 "$binary" "$root/bin/redisha"
  sed -e "s/@VERSION@/$version/" -e "s/@CPU@/$cpu/" packaging/npm.json >"$root/package.json"
  cp README.md LICENSE "$root/"
  if [ "$compression" = none ]; then level=-1; else level=-9; fi
  tar -C "$stage/npm" --owner 0 --group 0 -cf - package | gzip $level >"$out/redisha-$version.tgz"
  echo "$out/redisha-$version.tgz"
}
container() {
  cp packaging/Containerfile "$out/Containerfile"
  echo "$out/Containerfile"
}
for p in $packages; do
  case $p in
    deb) deb ;;
    tar) tarball ;;
    npm) npmball ;;
    container) container ;;
    *) echo "packaging: no such package: $p (deb tar npm container)" >&2; exit 2 ;;
  esac
done
