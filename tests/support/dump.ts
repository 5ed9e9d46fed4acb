/** Takes DUMP payloads of the real server apart, as far as tests of packed encodings need it. Plain and slow on purpose. */

/** The RDB string at `at` (not LZF, not an integer), and the position after it. */
export function rdbString(b: Buffer, at: number): { bytes: Buffer; next: number } {
  const { value, next } = rdbLength(b, at);
  return { bytes: b.subarray(next, next + value), next: next + value };
}

/** The RDB length at `at`, and the position after it. */
export function rdbLength(b: Buffer, at: number): { value: number; next: number } {
  const kind = b[at] >> 6;
  if (kind === 0) return { value: b[at] & 63, next: at + 1 };
  if (kind === 1) return { value: ((b[at] & 63) << 8) | b[at + 1], next: at + 2 };
  if (b[at] === 0x80) return { value: b.readUInt32BE(at + 1), next: at + 5 };
  throw new Error(`no length: ${b[at]}`);
}

/** The packed bytes of a DUMP payload of a small hash, set or sorted set (types 11, 16, 17, 20) or of a list's only listpack node (18). */
export function packedOf(payload: Buffer): Buffer {
  if (payload[0] !== 18) return rdbString(payload, 1).bytes;
  const nodes = rdbLength(payload, 1);
  const container = rdbLength(payload, nodes.next);
  if (nodes.value !== 1 || container.value !== 2) throw new Error(`not one listpack: ${nodes.value} nodes, container ${container.value}`);
  return rdbString(payload, container.next).bytes;
}
