/**
 * TLS of the compiled file beside the originals: clients (redis-cli --tls, mutual TLS), replication in every pair, Sentinels, directives that
 * change while it runs, certificates that are renewed or not good.
 */
import { expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, hasRedis, type Kind, type Program, redisha, startServer, tempDir, until } from "../support/programs.ts";
import { file, handshake, TLS_CONF, tlsCli } from "../support/tls.ts";
import { startSentinel } from "../support/programs.ts";

const run = hasRedis ? test : test.skip;

/** A server with a plain port for the test's own questions and a TLS port. */
async function secure(
  kind: Kind,
  conf: Record<string, string | number> = {},
): Promise<{ server: Program; port: number } & AsyncDisposable> {
  const port = freePort();
  const server = await startServer(kind, { ...TLS_CONF, "tls-port": port, ...conf });
  return { server, port, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

run("clients with and without a certificate, tls-auth-clients yes, no, optional", async () => {
  await using s = await secure("redisha");
  const { port, server } = s;
  expect(await tlsCli(port, ["set", "a", "1"])).toBe("OK");
  expect(await tlsCli(port, ["--no-such-option"], [])).not.toBe("OK");
  expect(await tlsCli(port, ["ping"], [])).not.toContain("PONG");
  expect(await tlsCli(port, ["ping"], ["--cert", file("stranger.crt"), "--key", file("stranger.key")])).not.toContain("PONG");
  // Plain words on the TLS port are no requests.
  expect(await server.cli("-p", String(port), "ping")).not.toContain("PONG");
  expect(await server.cli("config", "set", "tls-auth-clients", "optional")).toBe("OK");
  expect(await tlsCli(port, ["ping"], [])).toBe("PONG");
  expect(await tlsCli(port, ["ping"])).toBe("PONG");
  expect(await tlsCli(port, ["ping"], ["--cert", file("stranger.crt"), "--key", file("stranger.key")])).not.toContain("PONG");
  expect(await server.cli("config", "set", "tls-auth-clients", "no")).toBe("OK");
  expect(await tlsCli(port, ["ping"], ["--cert", file("stranger.crt"), "--key", file("stranger.key")])).toBe("PONG");
  expect((await server.info("server"))["listener1"]).toBe(`name=tls,bind=127.0.0.1,port=${port}`);
});

run("much data both ways over one connection", async () => {
  await using s = await secure("redisha");
  const out = await tlsCli(s.port, ["eval", "return string.rep('x', 8000000)", "0"]);
  expect(out.length).toBe(8_000_000);
  const dir = mkdtempSync(join(tmpdir(), "redisha."));
  await Bun.write(join(dir, "value"), "y".repeat(5_000_000));
  const p = Bun.spawn(["sh", "-c", `redis-cli -p ${s.port} --tls --cacert ${file("ca.crt")} --cert ${file("client.crt")} --key ${file("client.key")} -x set big < ${dir}/value`], { stdout: "pipe" }); // prettier-ignore
  expect((await new Response(p.stdout).text()).trim()).toBe("OK");
  rmSync(dir, { recursive: true });
  expect(await s.server.cli("strlen", "big")).toBe("5000000");
});

run("CONFIG SET: protocols, ciphers, a port that comes and goes, certificates renewed in place and by name", async () => {
  const dir = tempDir();
  copyFileSync(file("server.crt"), join(dir, "my.crt"));
  copyFileSync(file("server.key"), join(dir, "my.key"));
  await using s = await secure("redisha", { "tls-cert-file": join(dir, "my.crt"), "tls-key-file": join(dir, "my.key") });
  const { port, server } = s;
  const set = (...words: string[]): Promise<string> => server.cli("config", "set", ...words);
  const failed = expect.stringContaining("Unable to update TLS configuration. Check server logs.");
  expect(await handshake(port)).toMatchObject({ name: "server", protocol: "TLSv1.3" });

  expect(await set("tls-protocols", "TLSv1.2")).toBe("OK");
  expect(await handshake(port)).toMatchObject({ protocol: "TLSv1.2" });
  expect(await handshake(port, { minVersion: "TLSv1.3" })).toBeString();
  expect(await set("tls-protocols", "TLSv1.3 SSLv9")).toEqual(failed);
  expect(await set("tls-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256")).toBe("OK");
  expect(await handshake(port)).toMatchObject({ cipher: "ECDHE-ECDSA-AES128-GCM-SHA256" });
  expect(await set("tls-ciphers", "NO-SUCH-CIPHER")).toEqual(failed);
  expect(await set("tls-protocols", "", "tls-ciphers", "")).toBe("OK");

  // An open connection stays while others see the new certificate.
  copyFileSync(file("renewed.crt"), join(dir, "my.crt"));
  copyFileSync(file("renewed.key"), join(dir, "my.key"));
  expect(await handshake(port)).toMatchObject({ name: "server" });
  expect(await set("tls-cert-file", join(dir, "my.crt"))).toBe("OK");
  expect(await handshake(port)).toMatchObject({ name: "renewed" });
  expect(await set("tls-cert-file", join(dir, "nosuch.crt"))).toEqual(failed);
  expect(await set("tls-cert-file", file("stranger.crt"))).toEqual(failed);
  expect(await server.cli("config", "get", "tls-cert-file")).toContain(join(dir, "my.crt"));
  expect(await handshake(port)).toMatchObject({ name: "renewed" });

  expect(await set("tls-key-file", file("encrypted.key"), "tls-cert-file", file("server.crt"))).toEqual(failed);
  expect(await set("tls-key-file", file("encrypted.key"), "tls-cert-file", file("server.crt"), "tls-key-file-pass", "secret")).toBe("OK");
  expect(await handshake(port)).toMatchObject({ name: "server" });

  expect(await set("tls-port", "0")).toBe("OK");
  expect(await handshake(port)).toBeString();
  expect(await set("tls-port", String(port))).toBe("OK");
  expect(await handshake(port)).toMatchObject({ name: "server" });
  rmSync(dir, { recursive: true });
});

test("no start with TLS settings that cannot be used", async () => {
  const tries: [Record<string, string>, string][] = [
    [{ "tls-cert-file": "/nosuch.crt" }, "Failed to load certificate: /nosuch.crt: No such file or directory"],
    [{ "tls-key-file": file("client.key") }, "Failed to load certificate: "],
    [{ "tls-cert-file": "" }, "No tls-cert-file configured!"],
    [{ "tls-ca-cert-file": "" }, "Either tls-ca-cert-file or tls-ca-cert-dir must be specified"],
    [{ "tls-ciphersuites": "TLS_NO_SUCH" }, "Failed to configure ciphersuites: TLS_NO_SUCH"],
  ];
  for (const [conf, text] of tries) {
    const options = Object.entries({ ...TLS_CONF, "tls-port": "1", port: "0", ...conf }).flatMap(([name, value]) => [`--${name}`, value]); // prettier-ignore
    const p = Bun.spawn([redisha, ...options], { stdout: "pipe", stderr: "ignore" });
    const out = await new Response(p.stdout).text();
    expect(await p.exited).toBe(1);
    expect(out).toContain(text);
    expect(out).toContain("Failed to configure TLS. Check logs for more info.");
  }
});

for (const [master, replica] of [
  ["redisha", "redis"],
  ["redis", "redisha"],
  ["redisha", "redisha"],
] as const)
  run(
    `replication over TLS: ${replica} follows ${master}`,
    async () => {
      await using m = await secure(master);
      expect(await m.server.cli("debug", "populate", "20000", "key", "100")).toBe("OK");
      const conf = { masterauth: "pw", masteruser: "repl" };
      expect(await m.server.cli("acl", "setuser", "repl", "on", ">pw", "+psync", "+replconf", "+ping")).toBe("OK");
      await using r = await secure(replica, { ...conf, replicaof: `127.0.0.1 ${m.port}` });
      await until("the link", async () => (await r.server.info("replication"))["master_link_status"] === "up", 60_000);
      expect(await m.server.cli("set", "later", "1")).toBe("OK");
      await until("the last write", async () => (await r.server.cli("get", "later")) === "1");
      expect(await r.server.cli("dbsize")).toBe("20001");
      expect(await r.server.cli("debug", "digest")).toBe(await m.server.cli("debug", "digest"));
      // The replica says where it listens: its TLS port.
      expect((await m.server.info("replication"))["slave0"]).toContain(`port=${r.port},state=online`);
    },
    120_000,
  );

run("a master whose certificate nobody vouches for gets no replica", async () => {
  await using m = await secure("redis", { "tls-cert-file": file("stranger.crt"), "tls-key-file": file("stranger.key") });
  await using r = await secure("redisha", { replicaof: `127.0.0.1 ${m.port}` });
  await until("the refusal", () => r.server.output.includes("Error condition on socket for SYNC"));
  expect((await r.server.info("replication"))["master_link_status"]).toBe("down");
});

run(
  "Sentinels of both kinds over TLS agree, and fail over",
  async () => {
    await using m = await secure("redis");
    await using r = await secure("redisha", { replicaof: `127.0.0.1 ${m.port}` });
    const sentinels: Program[] = [];
    const ports: number[] = [];
    try {
      for (const kind of ["redisha", "redis", "redisha"] as const) {
        const port = freePort();
        ports.push(port);
        const lines = Object.entries({ ...TLS_CONF, "tls-port": port }).map(([name, value]) => `${name} ${value}`);
        lines.push(
          `sentinel monitor m 127.0.0.1 ${m.port} 2`,
          "sentinel down-after-milliseconds m 1000",
          "sentinel failover-timeout m 10000",
        );
        sentinels.push(await startSentinel(kind, lines));
      }
      for (const port of ports)
        await until(
          "the Sentinels to know each other",
          async () => {
            const told = (await tlsCli(port, ["sentinel", "master", "m"])).split("\n");
            const field = (name: string): string => told[told.indexOf(name) + 1];
            return field("num-slaves") === "1" && field("num-other-sentinels") === "2";
          },
          60_000,
        );
      m.server.kill();
      for (const port of ports)
        await until(
          "the failover",
          async () => (await tlsCli(port, ["sentinel", "get-master-addr-by-name", "m"])).includes(String(r.port)),
          60_000,
        );
      expect(await tlsCli(r.port, ["set", "after", "1"])).toBe("OK");
    } finally {
      for (const s of sentinels) await s[Symbol.asyncDispose]();
    }
  },
  180_000,
);
