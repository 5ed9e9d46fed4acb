#!/bin/sh
# Builds, runs, tests and checks redisha. Needs Node with npm; Bun itself comes from npm, pinned in package.json.
set -eu
cd "$(dirname "$0")"
bun=node_modules/.bin/bun

install() { # Bun and the libraries, once, and when package.json names others
  if [ ! -x "$bun" ] || ! cmp -s package.json node_modules/.installed; then
    npm install --no-save --no-audit --no-fund >/dev/null
    cp package.json node_modules/.installed.new && mv node_modules/.installed.new node_modules/.installed
  fi
  "$bun" --version >/dev/null 2>&1 || node node_modules/bun/install.js
}
build() {
  install
  version=$(sed -n 's/.*"version": "\(.*\)".*/\1/p' package.json | head -n 1)
  "$bun" build --compile --minify --sourcemap --bytecode --format=esm \
    --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
    --define VERSION="\"$version\"" ./main.ts $(find lib -name '*.worker.ts' | sort) --outfile redisha >/dev/null
}
check() {
  install
  "$bun" fmt --check main.ts lib tests
  "$bun" check
  node_modules/.bin/oxlint --quiet main.ts lib tests
  "$bun" test tests/unit/architecture.test.ts
}
help() {
  echo 'usage: ./build.sh [build | run | test | check | format | bench NAME | package | docs | help]'
  echo '  build       compile ./redisha (the default)'
  echo '  run         build, then start a whole set on this machine: ./redisha --stack'
  echo '  test [F..]  build, then run every test (or the named files)'
  echo '  check       formatting, types, lint, architecture'
  echo '  format      rewrite the sources in the project'"'"'s format'
  echo '  package     build, then make deb, tar.gz, npm tarball and Containerfile in build/packages'
  echo '  docs        write docs/tables from the rows of the code'
  echo '  bench NAME  build, then measure against the originals: server, proxy, sentinel, failover, histories, memory'
}
case "${1:-build}" in
  build) build ;;
  run) build; shift; exec ./redisha --stack "$@" ;;
  test) build; shift; exec "$bun" tests/run.ts "$@" ;;
  check) check ;;
  format) install; "$bun" fmt main.ts lib tests ;;
  docs) install; exec "$bun" tests/support/doc_tables.ts ;;
  package) build; "$bun" tests/support/doc_tables.ts; exec packaging/build.sh ;;
  bench) build; shift; exec "$bun" tests/bench/run.ts "$@" ;;
  help|-h|--help) help ;;
  *) help >&2; exit 2 ;;
esac
