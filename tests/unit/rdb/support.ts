/** Saving and loading RDB bytes in memory, for tests. */
import type { Log } from "../../../lib/log/log.ts";
import { DONE, FAILED, NEED_BYTES, RdbLoader, type LoadOptions, type LoadedInfo } from "../../../lib/server/persistence/rdb_load.ts";
import { RdbSource } from "../../../lib/server/persistence/rdb_source.ts";
import { Snapshot, type SnapshotOptions } from "../../../lib/server/persistence/snapshot.ts";
import { databases } from "../../../lib/store/store.ts";

/** A log that remembers. */
export const silentLog: Log & { lines: string[] } = {
  lines: [],
  target: { file: "", level: "debug", role: "M", pid: 1 },
  debug: (t) => void silentLog.lines.push(t),
  verbose: (t) => void silentLog.lines.push(t),
  notice: (t) => void silentLog.lines.push(t),
  warning: (t) => void silentLog.lines.push(t),
  at: (_l, t) => void silentLog.lines.push(t),
  also: () => undefined,
  raw: (t) => void silentLog.lines.push(t),
};

export function snapshotOptions(options: Partial<SnapshotOptions> = {}): SnapshotOptions {
  return {
    databases,
    version: 10,
    compress: true,
    checksum: true,
    aux: [["redis-ver", "7.2.4"]],
    libraries: [],
    access: false,
    commands: false,
    stamp: false,
    ...options,
  };
}

/** All databases as the bytes of an RDB file. */
export function saveBytes(options: Partial<SnapshotOptions>): Buffer {
  const parts: Buffer[] = [];
  const snapshot = new Snapshot(snapshotOptions(options), { write: (chunk) => void parts.push(Buffer.from(chunk)) });
  while (!snapshot.step(1));
  return Buffer.concat(parts);
}

export interface Loaded {
  complete: boolean;
  failure: string | null;
  info: LoadedInfo;
  offset: number;
}

/** Loads RDB bytes in pieces of `piece` bytes. */
export function loadBytes(bytes: Buffer, piece: number, options: Partial<LoadOptions> = {}): Loaded {
  const source = new RdbSource();
  const loader = new RdbLoader(source, {
    databases,
    dropExpired: false,
    replace: false,
    deep: true,
    log: silentLog,
    delayUs: () => 0,
    ...options,
  });
  let at = 0;
  for (;;) {
    const state = loader.step(1);
    if (state === DONE || state === FAILED)
      return { complete: state === DONE, failure: source.failure, info: loader.info, offset: source.offset };
    if (state !== NEED_BYTES) continue;
    if (at >= bytes.length) return { complete: false, failure: source.failure, info: loader.info, offset: source.offset };
    const chunk = Buffer.from(bytes.subarray(at, at + piece));
    at += chunk.length;
    source.feed(chunk);
  }
}
