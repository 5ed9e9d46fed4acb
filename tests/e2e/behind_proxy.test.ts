/** A server behind proxies that say in PROXY headers who the client is (proxy-protocol-from): ours, HAProxy, and bytes by hand. */
import { expect, test } from "bun:test";
import { proxyHeader } from "../../lib/net/proxy_protocol.ts";
import { startProxy } from "../support/proxy.ts";
import { hasHaproxy, startServer, until } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

const CLIENT = { host: "10.1.2.3", port: 4567 };
const SERVER = { host: "10.9.9.9", port: 6379 };

test("headers of both versions, in pieces, with requests behind them; connections without one", async () => {
  await using s = await startServer("redisha", { "proxy-protocol-from": "127.0.0.0/8", "protected-mode": "no" });
  for (const version of [1, 2] as const) {
    const w = await Wire.connect(s.port);
    const header = proxyHeader(version, CLIENT, SERVER);
    const request = Buffer.from("*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n");
    const bytes = Buffer.concat([header, request]);
    for (let i = 0; i < bytes.length; i += 7) {
      w.raw(bytes.subarray(i, i + 7));
      await Bun.sleep(1);
    }
    expect(await w.next()).toContain("addr=10.1.2.3:4567 laddr=10.9.9.9:6379 ");
    w.close();
  }
  const own = await Wire.connect(s.port);
  for (const header of [proxyHeader(1, null, null), proxyHeader(2, null, null), ""]) {
    const w = await Wire.connect(s.port);
    w.raw(header);
    expect(await w.do("CLIENT", "INFO")).toMatch(/addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:/);
    w.close();
  }
  // A header that breaks off is no request and no client.
  const broken = await Wire.connect(s.port);
  broken.raw("PROXY TCP4 10.1.2.3 ");
  broken.close();
  expect(await broken.next()).toBe("closed");
  expect(await own.do("CONFIG", "SET", "proxy-protocol-from", "")).toBe("+OK");
  const liar = await Wire.connect(s.port);
  liar.raw(proxyHeader(1, CLIENT, SERVER));
  expect(await liar.next()).toStartWith("-ERR unknown command 'PROXY'");
  liar.close();
  expect(await own.do("CONFIG", "SET", "proxy-protocol-from", "10.0.0.0/33")).toContain("'10.0.0.0/33' is no address and no range");
  expect(await own.do("CONFIG", "SET", "proxy-protocol-from", "10.0.0.0/8 ::1")).toBe("+OK");
  expect(await own.do("CONFIG", "GET", "proxy-protocol-from")).toContain('"10.0.0.0/8 ::1"');
  own.close();
});

test("protected mode looks at the client, not at the proxy", async () => {
  await using s = await startServer("redisha", { "proxy-protocol-from": "127.0.0.1", "protected-mode": "yes" });
  const far = await Wire.connect(s.port);
  far.raw(proxyHeader(2, CLIENT, SERVER));
  expect(await far.next()).toStartWith("-DENIED Redis is running in protected mode");
  expect(await far.next()).toBe("closed");
});

for (const kind of ["redisha", "haproxy"] as const)
  (kind === "redisha" || hasHaproxy ? test : test.skip)(`${kind} with send-proxy-v2 in front`, async () => {
    await using s = await startServer("redisha", { "proxy-protocol-from": "127.0.0.1" });
    await using p = await startProxy(
      kind,
      `defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\nlisten l\n bind 127.0.0.1:{port}\n server a 127.0.0.1:${s.port} send-proxy-v2\n`,
    );
    const w = await until("the proxy", async () => await Wire.connect(p.port).catch(() => null));
    await w.do("CLIENT", "SETNAME", "through");
    const line = (await w.do("CLIENT", "INFO")).replaceAll('"', "");
    expect(line).toContain(`laddr=127.0.0.1:${p.port} `);
    w.close();
  });
