/** What --version says, in the words of the program that was called: tools read these lines. Cold, imports next to nothing. */
import { release } from "node:os";
import { HAPROXY_VERSION, REDIS_VERSION } from "../config/version.ts";
import type { Invocation } from "./mode.ts";

declare const VERSION: string | undefined;
/** redisha's own version, put in by the build. */
export const version = typeof VERSION === "string" ? VERSION : "0.0.0-dev";

/** Date of this version, as `show info` and `haproxy -v` print it. */
export const RELEASED = "2026/11/23";

export function printVersion({ guise, args }: Invocation): void {
  if (guise === "haproxy") process.stdout.write(haproxyVersion(args[0] === "-vv"));
  else if (guise === "redis-server") process.stdout.write(`${redisVersion()}\n`);
  else process.stdout.write(`redisha ${version} (as Redis ${REDIS_VERSION} and HAProxy ${HAPROXY_VERSION}; Bun ${Bun.version})\n`);
}

/** `Redis server v=7.2.4 sha=00000000:0 malloc=libc bits=64 build=...`; build names our version. */
export function redisVersion(): string {
  const build = Bun.hash.crc32(`redisha ${version}`).toString(16);
  return `Redis server v=${REDIS_VERSION} sha=00000000:0 malloc=libc bits=64 build=${build}`;
}

/** `show info` and `show version` of the proxy. */
export function haproxyVersionNumber(): string {
  return `${HAPROXY_VERSION}-redisha${version}`;
}

/** `haproxy -v`, with `all` the facts of `haproxy -vv` that are true here. */
export function haproxyVersion(all: boolean): string {
  const lines = [
    `HAProxy version ${HAPROXY_VERSION}-redisha${version} ${RELEASED} - https://haproxy.org/`,
    `Status: redisha ${version}, its proxy mode.`,
    "Known bugs: -",
    `Running on: ${process.platform === "linux" ? "Linux" : process.platform} ${release()} ${process.arch === "x64" ? "x86_64" : process.arch}`,
  ];
  if (all) {
    lines.push(
      "Build options :",
      `  TARGET  = ${process.platform === "linux" ? "linux-glibc" : process.platform}`,
      `  CC      = bun ${Bun.version}`,
      "",
      "Feature list : +EPOLL +NS +OPENSSL -LUA -PCRE -QUIC -SYSTEMD -ZLIB",
      "",
      "Default settings :",
      "  bufsize = 16384, maxrewrite = 1024, maxpollevents = 200",
      "",
      "Available polling systems :",
      "      epoll : pref=300,  test result OK",
      "Total: 1 (1 usable), will use epoll.",
      "",
      "Available multiplexer protocols :",
      "  <default> : mode=TCP   side=FE|BE  mux=PASS",
      "",
      "Available services : none",
      "",
    );
  }
  return `${lines.join("\n")}\n`;
}
