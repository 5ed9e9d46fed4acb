/**
 * PROXY headers, versions 1 and 2 (haproxy.org proxy-protocol.txt): written to servers (send-proxy, send-proxy-v2), read from clients
 * (accept-proxy, and proxy-protocol-from of a server). Pure. Once a connection.
 */

export interface Endpoint {
  host: string;
  port: number;
}
export interface ProxyHeader {
  /** Bytes of the header. */
  length: number;
  /** Null: the sender speaks for itself (LOCAL, UNKNOWN). */
  source: Endpoint | null;
  destination: Endpoint | null;
}

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const LINE_MAX = 107;

/** The header for a connection from `source` to `destination`; null: our own (checks). */
export function proxyHeader(version: 1 | 2, source: Endpoint | null, destination: Endpoint | null): Buffer {
  const family =
    source === null || destination === null ? 0 : familyOf(source.host) === familyOf(destination.host) ? familyOf(source.host) : 0;
  if (version === 1) {
    if (family === 0) return Buffer.from("PROXY UNKNOWN\r\n");
    return Buffer.from(`PROXY TCP${family} ${source!.host} ${destination!.host} ${source!.port} ${destination!.port}\r\n`);
  }
  const addresses =
    family === 0 ? Buffer.alloc(0) : Buffer.concat([bytesOf(source!.host), bytesOf(destination!.host), ports(source!, destination!)]);
  const head = Buffer.from([source === null ? 0x20 : 0x21, family === 4 ? 0x11 : family === 6 ? 0x21 : 0x00, 0, addresses.length]);
  return Buffer.concat([SIGNATURE, head, addresses]);
}

/** The header at the start of `b`: "more" while it is incomplete, "bad" when there is none. */
export function readProxyHeader(b: Buffer): ProxyHeader | "more" | "bad" {
  if (b.length === 0) return "more";
  if (b[0] === SIGNATURE[0]) return readVersion2(b);
  const text = b.toString("latin1", 0, Math.min(b.length, LINE_MAX));
  if (!"PROXY ".startsWith(text.slice(0, 6))) return "bad";
  const end = text.indexOf("\r\n");
  if (end < 0) return b.length >= LINE_MAX ? "bad" : "more";
  const words = text.slice(6, end).split(" ");
  const none = { length: end + 2, source: null, destination: null };
  if (words[0] === "UNKNOWN") return none;
  if ((words[0] !== "TCP4" && words[0] !== "TCP6") || words.length !== 5) return "bad";
  const [, from, to, fromPort, toPort] = words as [string, string, string, string, string];
  const want = words[0] === "TCP4" ? 4 : 6;
  if (familyOf(from) !== want || familyOf(to) !== want || !/^\d{1,5}$/.test(fromPort) || !/^\d{1,5}$/.test(toPort)) return "bad";
  return { length: end + 2, source: { host: from, port: Number(fromPort) }, destination: { host: to, port: Number(toPort) } };
}

function readVersion2(b: Buffer): ProxyHeader | "more" | "bad" {
  const known = Math.min(b.length, SIGNATURE.length);
  if (!b.subarray(0, known).equals(SIGNATURE.subarray(0, known))) return "bad";
  if (b.length < 16) return "more";
  const command = b[12];
  if (command !== 0x20 && command !== 0x21) return "bad";
  const length = 16 + b.readUInt16BE(14);
  if (b.length < length) return "more";
  const none = { length, source: null, destination: null };
  if (command === 0x20) return none;
  const size = b[13] === 0x11 ? 4 : b[13] === 0x21 ? 16 : 0;
  if (size === 0) return none;
  if (length < 16 + size * 2 + 4) return "bad";
  const at = 16 + size * 2;
  return {
    length,
    source: { host: textOf(b.subarray(16, 16 + size)), port: b.readUInt16BE(at) },
    destination: { host: textOf(b.subarray(16 + size, at)), port: b.readUInt16BE(at + 2) },
  };
}

function familyOf(host: string): 0 | 4 | 6 {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(host)) return 4;
  return /^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$/.test(host) ? 6 : 0;
}
function ports(a: Endpoint, b: Endpoint): Buffer {
  return Buffer.from([a.port >> 8, a.port & 255, b.port >> 8, b.port & 255]);
}
function bytesOf(host: string): Buffer {
  if (familyOf(host) === 4) return Buffer.from(host.split(".").map(Number));
  const [head, tail] = host.split("::");
  const left = head === "" ? [] : head!.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...left, ...(host.includes("::") ? Array<string>(8 - left.length - right.length).fill("0") : []), ...right];
  return Buffer.from(groups.flatMap((g) => [Number.parseInt(g, 16) >> 8, Number.parseInt(g, 16) & 255]));
}
function textOf(b: Buffer): string {
  if (b.length === 4) return b.join(".");
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(b.readUInt16BE(i).toString(16));
  // the longest run of zeros becomes ::
  const text = groups.join(":");
  const run = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((x, y) => y[0].length - x[0].length)[0];
  if (run === undefined) return text;
  const before = text.slice(0, run.index);
  const after = text.slice(run.index + run[0].length).replace(/^:/, "");
  return `${before}::${after}`;
}
