/** PROXY headers: what is written is read back, at every cut; nonsense is refused. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { proxyHeader, readProxyHeader } from "../../../lib/net/proxy_protocol.ts";

const pairs = [
  [
    { host: "10.1.2.3", port: 5 },
    { host: "192.168.0.1", port: 65535 },
  ],
  [
    { host: "fe80::1:2", port: 1 },
    { host: "::1", port: 6378 },
  ],
  [
    { host: "1:2:3:4:5:6:7:8", port: 1 },
    { host: "1::", port: 2 },
  ],
] as const;

test("both versions, both families, at every cut", () => {
  for (const version of [1, 2] as const)
    for (const [source, destination] of pairs) {
      const header = proxyHeader(version, source, destination);
      for (let i = 0; i < header.length; i++) expect(readProxyHeader(header.subarray(0, i))).toBe("more");
      expect(readProxyHeader(Buffer.concat([header, Buffer.from("PING")]))).toEqual({ length: header.length, source, destination });
    }
  expect(proxyHeader(1, pairs[0][0], pairs[0][1]).toString()).toBe("PROXY TCP4 10.1.2.3 192.168.0.1 5 65535\r\n");
  expect(proxyHeader(1, null, null).toString()).toBe("PROXY UNKNOWN\r\n");
  for (const version of [1, 2] as const) {
    const own = proxyHeader(version, null, null);
    expect(readProxyHeader(own)).toEqual({ length: own.length, source: null, destination: null });
  }
});

test("anything else is refused, never a crash", () => {
  for (const bad of [
    "GET / HTTP/1.1\r\n",
    "PROXY TCP4 1.2.3.4\r\n",
    "PROXY TCP4 ::1 ::1 1 2\r\n",
    `PROXY ${"x".repeat(200)}`,
    "*1\r\n",
    "\r\n\r\nx",
  ])
    // prettier-ignore
    expect(readProxyHeader(Buffer.from(bad))).toBe("bad");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      readProxyHeader(Buffer.from(bytes));
      readProxyHeader(Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"), Buffer.from(bytes)]));
    }),
  );
});
