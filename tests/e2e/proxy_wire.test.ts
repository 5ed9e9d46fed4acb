/** What the compiled proxy does at its edges: TLS on both sides, PROXY headers in and out, unix sockets, reloads, pausing, background start. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect as connectUnix, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { freePort, hasHaproxy, redisha, tempDir, until } from "../support/programs.ts";
import { listens, Peer, startProxy, Target } from "../support/proxy.ts";

const pem = join(import.meta.dir, "../support/localhost.pem");
const DEFAULTS = `global
 log stdout format raw local0
defaults
 mode tcp
 log global
 option tcplog
 timeout connect 1s
 timeout client 10s
 timeout server 10s
`;

const echo = (s: Socket): void => {
  s.on("data", (d) => s.write(d));
  s.on("end", () => s.end());
};

/** A line from `port` over TLS, to which `hello` was said. */
function overTls(port: number, hello: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const s = connectTls({ port, host: "127.0.0.1", ca: readFileSync(pem), servername: "localhost" }, () => s.write(hello));
    s.on("data", (d) => {
      resolve(d.toString());
      s.end();
    });
    s.on("error", reject);
    s.on("close", () => reject(new Error("closed without an answer")));
  });
}

test("TLS from the client, TLS to the server, checks over TLS, a certificate that is not trusted", async () => {
  await using plain = await Target.start((s) => s.on("data", (d) => s.write(`got ${d}`)));
  await using inner = await startProxy("redisha", `${DEFAULTS}listen l\n bind 127.0.0.1:{port} ssl crt ${pem}\n server a 127.0.0.1:${plain.port}\n`); // prettier-ignore
  await using outer = await startProxy(
    "redisha",
    `${DEFAULTS}listen good\n bind 127.0.0.1:{port} ssl crt ${pem}\n server a 127.0.0.1:${inner.port} ssl ca-file ${pem} check inter 5s\nbackend bad\n option log-health-checks\n server b 127.0.0.1:${inner.port} ssl ca-file /etc/hostname check inter 5s\n`,
  );
  expect(await overTls(outer.port, "hello")).toBe("got hello");
  await until("the untrusted one to be down", () => outer.output.includes("Server bad/b is DOWN"));
  expect(outer.output).toMatch(/Health check for server bad\/b failed, reason: Layer6 invalid response, info: "SSL handshake failure/);
  expect(outer.output).not.toContain("Server good/a is DOWN");
});

test("a missing certificate is an error of the configuration", () => {
  const file = join(tempDir(), "haproxy.cfg");
  writeFileSync(file, `${DEFAULTS}frontend f\n bind :7000 ssl crt /nosuch.pem\n`);
  const p = Bun.spawnSync([redisha, "--proxy", "-c", "-f", file], { stderr: "pipe" });
  expect(p.exitCode).toBe(1);
  expect(p.stderr.toString()).toContain(
    "'bind :7000' in section 'frontend' : unable to stat SSL certificate from file '/nosuch.pem' : No such file or directory.",
  );
});

for (const version of ["send-proxy", "send-proxy-v2"])
  test.skipIf(!hasHaproxy)(`PROXY headers: taken from the client, given to the real haproxy (${version})`, async () => {
    await using target = await Target.start(echo);
    await using behind = await startProxy("haproxy", `${DEFAULTS}listen l\n bind 127.0.0.1:{port} accept-proxy\n server a 127.0.0.1:${target.port}\n`); // prettier-ignore
    await using front = await startProxy(
      "redisha",
      `${DEFAULTS}listen l\n bind 127.0.0.1:{port} accept-proxy\n server a 127.0.0.1:${behind.port} ${version} check inter 50ms\n`,
    );
    const c = await Peer.to(front.port);
    c.send("PROXY TCP4 1.2.3.4 5.6.7.8 1111 ");
    await Bun.sleep(20);
    c.send("2222\r\nhello");
    await c.has("hello");
    c.socket.end();
    await until("the log lines", () => /^1\.2\.3\.4:1111 /m.test(behind.output) && /^1\.2\.3\.4:1111 /m.test(front.output));
    const bad = await Peer.to(front.port);
    bad.send("*1\r\n$4\r\nPING\r\n");
    await bad.isOver();
    expect(front.output).not.toContain("l/a is DOWN");
  });

test("a unix socket with a mode of its own, and a server on one", async () => {
  const dir = tempDir();
  await using target = await Target.start(echo);
  await using proxy = await startProxy(
    "redisha",
    `${DEFAULTS}listen inner\n bind ${dir}/in.sock mode 600\n server a 127.0.0.1:${target.port}\nlisten outer\n bind 127.0.0.1:{port}\n server u ${dir}/in.sock check\n`,
  );
  const c = await Peer.to(proxy.port);
  c.send("through both");
  await c.has("through both");
  const direct = connectUnix(`${dir}/in.sock`);
  const reply = new Promise((resolve) => direct.once("data", (d) => resolve(d.toString())));
  direct.write("direct");
  expect(await reply).toBe("direct");
  direct.destroy();
});

test("TTOU closes the door, TTIN opens it; USR1 waits for the last session", async () => {
  await using target = await Target.start(echo);
  await using proxy = await startProxy("redisha", `${DEFAULTS}frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n server a 127.0.0.1:${target.port}\n`); // prettier-ignore
  const c = await Peer.to(proxy.port);
  c.send("1");
  await c.has("1");
  proxy.kill("SIGTTOU");
  await until("the door to close", () => !listens(proxy.port));
  c.send("2");
  await c.has("12");
  proxy.kill("SIGTTIN");
  await until("the door to open", () => listens(proxy.port));
  expect(proxy.output).toContain("Paused frontend f.\n");
  expect(proxy.output).toContain("Resumed frontend f.\n");
  proxy.kill("SIGHUP");
  await until("the dump", () => proxy.output.includes("SIGHUP: Server b/a is UP. Conn: 1 act, 0 pend, 1 tot."));
  proxy.kill("SIGUSR1");
  await until("the soft stop", () => proxy.output.includes("Proxy f stopped (cumulated conns: FE: 1, BE: 0)."));
  c.send("3");
  await c.has("123");
  expect(proxy.process!.exitCode).toBeNull();
  c.socket.end();
  expect(await proxy.process!.exited).toBe(0);
});

test("-D comes back when the port is open, with the pid in its file; a second one takes over with -sf", async () => {
  const dir = tempDir();
  const port = freePort();
  await using target = await Target.start(echo);
  writeFileSync(join(dir, "p.cfg"), `${DEFAULTS}listen l\n bind 127.0.0.1:${port}\n server a 127.0.0.1:${target.port}\n`);
  const run = (...more: string[]): ReturnType<typeof Bun.spawnSync> =>
    Bun.spawnSync([redisha, "--proxy", "-D", "-p", join(dir, "pid"), "-f", join(dir, "p.cfg"), ...more], { stderr: "pipe" });
  const pid = (): number => Number(readFileSync(join(dir, "pid"), "utf8"));
  const alive = (p: number): boolean => existsSync(`/proc/${p}`) && !/State:\s+Z/.test(readFileSync(`/proc/${p}/status`, "utf8"));
  expect(run().exitCode).toBe(0);
  const first = pid();
  expect(listens(port)).toBe(true);
  const c = await Peer.to(port);
  c.send("a");
  await c.has("a");
  expect(run("-sf", String(first)).exitCode).toBe(0);
  const second = pid();
  expect(second).not.toBe(first);
  c.send("b");
  await c.has("ab"); // the first one still serves what it has
  c.socket.end();
  await until("the first one to end", () => !alive(first));
  const d = await Peer.to(port);
  d.send("c");
  await d.has("c");
  d.socket.destroy();
  process.kill(second, "SIGTERM");
  await until("the second one to end", () => !alive(second));
});

test("USR2 starts a successor; a broken file leaves the old one at work", async () => {
  const dir = tempDir();
  const port = freePort();
  await using target = await Target.start(echo);
  const good = `${DEFAULTS}listen l\n bind 127.0.0.1:${port}\n server a 127.0.0.1:${target.port}\n`;
  const file = join(dir, "p.cfg");
  const out = join(dir, "out");
  writeFileSync(file, good);
  const p = Bun.spawn(["/bin/sh", "-c", `exec "$@" >>${out} 2>&1`, "--", redisha, "--proxy", "-W", "-f", file], { stdin: "ignore" });
  const text = (): string => (existsSync(out) ? readFileSync(out, "utf8") : "");
  try {
    await until("the first one", () => listens(port));
    writeFileSync(file, "nonsense\n");
    p.kill("SIGUSR2");
    await until("the refusal", () => text().includes("the former one goes on"));
    const c = await Peer.to(port);
    c.send("x");
    await c.has("x");
    c.socket.end();
    writeFileSync(file, good);
    p.kill("SIGUSR2");
    expect(await p.exited).toBe(0);
    const successor = Number([...text().matchAll(/New worker \((\d+)\) forked/g)].at(-1)![1]);
    const d = await Peer.to(port);
    d.send("y");
    await d.has("y");
    d.socket.destroy();
    process.kill(successor, "SIGTERM");
    await until("the successor to end", () => !listens(port));
  } finally {
    if (p.exitCode === null) p.kill("SIGKILL");
  }
});
