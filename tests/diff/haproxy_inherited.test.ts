/**
 * Listening sockets that a proxy is started with (`bind fd@N`, as systemd and wrappers hand them on): the real haproxy 2.6 and ours serve them,
 * pause and resume; ours hands them on to its successor.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { admin } from "../support/admin.ts";
import { DEFAULTS, echo, globalOf, KINDS, plain, type ProxyKind } from "../support/haproxy_lives.ts";
import { hasHaproxy, originals, redisha, tempDir, until } from "../support/programs.ts";
import { Peer, Target } from "../support/proxy.ts";

const dir = tempDir("fd.");
let target: Target;
beforeAll(async () => {
  target = await Target.start(echo);
});
afterAll(async () => {
  await target.stop();
});

/** Starts a proxy whose descriptor 3 is a listening socket that nobody else has. */
function startOn3(kind: ProxyKind, ...args: string[]): { port: number; pid: number; exited: Promise<number>; text: () => string } {
  const file = join(dir, `${kind}.cfg`);
  writeFileSync(
    file,
    `${globalOf(kind, join(dir, `${kind}.sock`))}${DEFAULTS}frontend f\n bind fd@3\n default_backend b\nbackend b\n server a 127.0.0.1:${target.port}\n`,
  );
  const out = join(dir, `${kind}.out`);
  writeFileSync(out, "");
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  const command = kind === "haproxy" ? [originals.haproxy] : [redisha, "--proxy"];
  const p = Bun.spawn(["/bin/sh", "-c", 'out=$1; shift; exec "$@" >>"$out" 2>&1', "--", out, ...command, ...args, "-f", file], {
    stdio: ["ignore", "ignore", "ignore", (listener as unknown as { fd: number }).fd],
  });
  listener.stop();
  return { port, pid: p.pid, exited: p.exited, text: () => (existsSync(out) ? readFileSync(out, "utf8") : "") };
}
async function greeted(port: number): Promise<void> {
  const c = await Peer.to(port);
  c.send("hello");
  await c.has("hello");
  c.socket.end();
  await c.isOver();
}

describe.skipIf(!hasHaproxy)("inherited sockets", () => {
  test("served, paused, resumed", async () => {
    const seen: string[][] = [];
    for (const kind of KINDS) {
      const p = startOn3(kind, "-db");
      const sock = join(dir, `${kind}.sock`);
      try {
        await greeted(p.port);
        for (const line of ["disable frontend f", "enable frontend f"]) expect(await admin(sock, line)).toBe("\n");
        await greeted(p.port);
        await until("its lines", () => plain(p.text(), [target.port]).length >= 4);
        seen.push(plain(p.text(), [target.port]));
      } finally {
        process.kill(p.pid, "SIGTERM");
        await p.exited;
      }
    }
    expect(seen[1]).toEqual(seen[0]!);
  });

  test("a successor has them, too", async () => {
    const p = startOn3("redisha", "-W");
    await greeted(p.port);
    const held = await Peer.to(p.port);
    held.send("a");
    await held.has("a");
    process.kill(p.pid, "SIGUSR2");
    await until("the former one to finish", () => p.text().includes("Proxy f stopped"));
    const successor = Number(/New worker \((\d+)\) forked/.exec(p.text())![1]);
    try {
      await greeted(p.port);
      held.send("b");
      await held.has("ab");
      held.socket.end();
      expect(await p.exited).toBe(0);
      await greeted(p.port);
    } finally {
      process.kill(successor, "SIGTERM");
      await until("the successor to end", () => !existsSync(`/proc/${successor}`));
    }
  });
});
