/**
 * Replaying append only files: the base (an RDB, or commands with or without an RDB in front), then the incremental files. Warm.
 * Works in slices; clients get -LOADING meanwhile. A tail that a crash cut off is dropped when aof-load-truncated allows it.
 * Redis aof.c: loadAppendOnlyFiles, loadSingleAppendOnlyFile.
 */
import { closeSync, fstatSync, openSync, readSync, truncateSync } from "node:fs";
import { strerror } from "../../../bytes/errno.ts";
import { Client, CLIENT_UNAUTHENTICATED, FLAG_DENY_BLOCKING, FLAG_TRUSTED } from "../../../clients/client.ts";
import { GATE_BUSY } from "../../../clients/command.ts";
import { BROKEN, READY } from "../../../resp/request.ts";
import { EXPIRE_IGNORE, setExpirePolicy } from "../../../store/keyspace.ts";
import { clock, readClock } from "../../../time/clock.ts";
import type { Server } from "../../server.ts";
import type { LoadProgress } from "../loading.ts";
import type { Persistence } from "../persistence.ts";
import { DONE, FAILED, NEED_BYTES, RdbLoader, type LoadedInfo } from "../rdb_load.ts";
import { RdbSource } from "../rdb_source.ts";
import type { AofFiles } from "./files.ts";
import type { AofFile } from "./manifest.ts";

const CHUNK_BYTES = 1024 * 1024;
const SLICE_MS = 8;
/** Never changes: waiting for it is sleeping. */
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Of all files together, for INFO. */
export class AofProgress implements LoadProgress {
  readonly startMs: number;
  readonly totalBytes: number;
  readBytes: number;
  /** The base says how many keys it had; whose history they belong to is not told by append only files. */
  info: LoadedInfo;

  constructor(totalBytes: number) {
    this.startMs = clock.nowMs;
    this.totalBytes = totalBytes;
    this.readBytes = 0;
    this.info = { keys: 0, expired: 0, emptySkipped: 0, usedMemory: 0, replStreamDb: -1, replId: "", replOffset: -1 };
  }
}

/**
 * Loads one file, yielding when others should have a turn; false when there is nothing in it. Ends the process with Redis' words when it cannot
 * be used. `last`: only its tail may be cut.
 */
export function* loadAofFile(
  server: Server,
  persistence: Persistence,
  files: AofFiles,
  file: AofFile,
  last: boolean,
  progress: AofProgress,
): Generator<void, boolean> {
  const path = files.path(file.name);
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    server.process.fail(`Fatal error: can't open the append log file ${file.name} for reading: ${strerror(error)}`);
  }
  const { size } = fstatSync(fd);
  const before = progress.readBytes;
  let position = 0;
  if (size > 0) {
    const head = Buffer.alloc(5);
    readSync(fd, head, 0, 5, 0);
    const whole = file.name === files.prefix;
    if (head.toString("latin1") === "REDIS") position = yield* loadRdb(server, persistence, fd, file.name, whole, progress);
    yield* replay(server, fd, path, file.name, position, size, last, progress);
  }
  closeSync(fd);
  progress.readBytes = before + size;
  return size > 0;
}

/** The RDB at the beginning of a file; returns where it ends. `mixed`: commands follow it in the same file, as before Redis 7. */
function* loadRdb(
  server: Server,
  persistence: Persistence,
  fd: number,
  name: string,
  mixed: boolean,
  progress: AofProgress,
): Generator<void, number> {
  const { log, config } = server;
  log.notice(mixed ? "Reading RDB preamble from AOF file..." : "Reading RDB base file on AOF loading...");
  const source = new RdbSource(config.bool("rdbchecksum"));
  const loader = new RdbLoader(source, { ...persistence.loadOptions(), dropExpired: false });
  const before = progress.readBytes;
  let position = 0;
  for (;;) {
    const policy = setExpirePolicy(EXPIRE_IGNORE);
    const status = loader.step(SLICE_MS);
    setExpirePolicy(policy);
    progress.info = { ...progress.info, keys: loader.info.keys, usedMemory: loader.info.usedMemory };
    progress.readBytes = before + source.offset;
    if (status === DONE) break;
    let why = status === FAILED ? source.failure : null;
    if (status === NEED_BYTES) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const n = readSync(fd, chunk, 0, CHUNK_BYTES, position);
      if (n === 0) why = "it ends too early";
      position += n;
      source.feed(chunk.subarray(0, n));
    } else if (why === null) yield;
    if (why !== null)
      server.process.fail(
        `Error reading the RDB ${mixed ? "preamble of the AOF file" : "base file"} ${name}, AOF loading aborted: ${why} at offset ${source.offset}`,
      );
  }
  if (mixed) log.notice("Reading the remaining AOF tail...");
  return source.offset;
}

/** Runs the commands of the file from `position` on. */
function* replay(
  server: Server,
  fd: number,
  path: string,
  name: string,
  position: number,
  size: number,
  last: boolean,
  progress: AofProgress,
): Generator<void, void> {
  const { dispatcher: d } = server;
  const delayUs = server.config.number("key-load-delay");
  const client = new Client(d.newClientId(), null, null);
  client.flags |= FLAG_TRUSTED | FLAG_DENY_BLOCKING;
  client.gates = CLIENT_UNAUTHENTICATED;
  client.out.muted = true;
  server.select(client, 0);
  let buf: Buffer = Buffer.alloc(0);
  /** Offset of buf[0] in the file, end of the last whole command outside a transaction. */
  let base = position;
  let valid = position;
  let broken = "";
  outer: for (;;) {
    // A long value is read in pieces as long as what there is of it, so that it is not copied for each megabyte.
    const chunk = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, buf.length));
    const n = readSync(fd, chunk, 0, chunk.length, position);
    if (n === 0) break;
    position += n;
    buf = buf.length === 0 ? chunk.subarray(0, n) : Buffer.concat([buf, chunk.subarray(0, n)]);
    if (client.request.partial) client.request.rebase(0);
    let pos = 0;
    const end = readClock() + SLICE_MS;
    let policy = setExpirePolicy(EXPIRE_IGNORE);
    while (pos < buf.length) {
      if (!client.request.partial && buf[pos] === 35) {
        // An annotation: #TS:...
        const e = buf.indexOf(10, pos);
        if (e < 0) break;
        pos = e + 1;
        if (client.multi === null) valid = base + pos;
        continue;
      }
      if (!client.request.partial && buf[pos] !== 42) {
        broken = "format";
        break;
      }
      const status = client.request.read(buf, pos, buf.length);
      if (status === BROKEN) {
        broken = "format";
        break;
      }
      if (status !== READY) break;
      pos = client.request.end;
      if (d.table.find(buf, client.request.at[0], client.request.at[1]) === null)
        server.process.fail(
          `Unknown command '${buf.toString("latin1", client.request.at[0], client.request.at[1])}' reading the append only file ${name}`,
        );
      d.execute(client, client.request);
      if (d.gates & GATE_BUSY) {
        // A script that takes long lets others have a turn.
        setExpirePolicy(policy);
        while (d.gates & GATE_BUSY) yield;
        policy = setExpirePolicy(EXPIRE_IGNORE);
      }
      if (client.multi === null) valid = base + pos;
      if (delayUs > 0) Atomics.wait(sleeper, 0, 0, delayUs / 1000);
    }
    setExpirePolicy(policy);
    if (broken !== "") break outer;
    base += pos;
    progress.readBytes += pos;
    buf = pos < buf.length ? Buffer.from(buf.subarray(pos)) : Buffer.alloc(0);
    if (clock.monoMs > end || readClock() > end) yield;
  }
  if (broken !== "")
    server.process.fail(
      `Bad file format reading the append only file ${name}: make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>`,
    );
  if (valid < size) cutTail(server, path, name, valid, client.multi !== null, last);
}

/** The file ends in the midst of something: what there is of that goes, if that is allowed. */
function cutTail(server: Server, path: string, name: string, valid: number, inMulti: boolean, last: boolean): void {
  const { log, config } = server;
  if (inMulti) log.warning(`Revert incomplete MULTI/EXEC transaction in AOF file ${name}`);
  if (!config.bool("aof-load-truncated"))
    server.process.fail(
      `Unexpected end of file reading the append only file ${name}. You can: 1) Make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' configuration option to yes and restart the server.`,
    );
  log.warning(`!!! Warning: short read while loading the AOF file ${name}!!!`);
  if (!last) server.process.fail("Fatal error: the truncated file is not the last file");
  log.warning(`!!! Truncating the AOF ${name} at offset ${valid} !!!`);
  try {
    truncateSync(path, valid);
  } catch (error) {
    server.process.fail(`Error truncating the AOF file ${name}: ${strerror(error)}`);
  }
  log.warning(`AOF ${name} loaded anyway because aof-load-truncated is enabled`);
}
