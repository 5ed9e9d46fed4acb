/**
 * Replaying append only files at boot: the base (an RDB, or commands with or without an RDB in front), then the incremental files. Warm.
 * Works in slices; clients get -LOADING meanwhile. A tail that a crash cut off is dropped when aof-load-truncated allows it.
 * Redis aof.c: loadAppendOnlyFiles, loadSingleAppendOnlyFile.
 */
import { closeSync, fstatSync, openSync, readSync, truncateSync } from "node:fs";
import { Client, CLIENT_UNAUTHENTICATED, FLAG_DENY_BLOCKING, FLAG_TRUSTED } from "../../../clients/client.ts";
import { BROKEN, READY } from "../../../resp/request.ts";
import { EXPIRE_IGNORE, setExpirePolicy } from "../../../store/keyspace.ts";
import { clock, readClock } from "../../../time/clock.ts";
import type { Server } from "../../server.ts";
import { DONE, FAILED, NEED_BYTES, RdbLoader } from "../rdb_load.ts";
import { RdbSource } from "../rdb_source.ts";
import type { Persistence } from "../persistence.ts";

const CHUNK_BYTES = 1024 * 1024;
const SLICE_MS = 8;

export type Loaded = "ok" | "empty" | "truncated";

/** Loads one file, yielding when others should have a turn; ends the process with Redis' words when it cannot be used. `last`: only its tail may be cut. */
export function* loadAofFile(server: Server, persistence: Persistence, path: string, last: boolean): Generator<void, Loaded> {
  const { log, config } = server;
  const name = path.slice(path.lastIndexOf("/") + 1);
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    server.process.fail(`Fatal error: can't open the append log file ${name} for reading: ${(error as Error).message}`);
  }
  const size = fstatSync(fd).size;
  if (size === 0) {
    closeSync(fd);
    return "empty";
  }
  let position = 0;
  const head = Buffer.alloc(5);
  readSync(fd, head, 0, 5, 0);
  if (head.toString("latin1") === "REDIS") {
    log.notice("Reading RDB base file on AOF loading...");
    const source = new RdbSource(config.bool("rdbchecksum"));
    const loader = new RdbLoader(source, { ...persistence.loadOptions(), dropExpired: false });
    for (;;) {
      const policy = setExpirePolicy(EXPIRE_IGNORE);
      const status = loader.step(SLICE_MS);
      setExpirePolicy(policy);
      if (status === DONE) break;
      if (status === FAILED)
        server.process.fail(
          `Error reading the RDB preamble of the AOF file ${name}, AOF loading aborted: ${source.failure} at offset ${source.offset}`,
        );
      if (status === NEED_BYTES) {
        const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
        const n = readSync(fd, chunk, 0, CHUNK_BYTES, position);
        if (n === 0)
          server.process.fail(`Error reading the RDB preamble of the AOF file ${name}, AOF loading aborted: it ends at offset ${position}`);
        position += n;
        source.feed(chunk.subarray(0, n));
      } else yield;
    }
    position = source.offset;
    if (position < size) log.notice("Reading the remaining AOF tail...");
  }
  return yield* replay(server, fd, path, position, size, last);
}

/** Runs the commands of the file from `position` on. */
function* replay(server: Server, fd: number, path: string, position: number, size: number, last: boolean): Generator<void, Loaded> {
  const { log, config, dispatcher: d } = server;
  const name = path.slice(path.lastIndexOf("/") + 1);
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
    const policy = setExpirePolicy(EXPIRE_IGNORE);
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
      d.execute(client, client.request);
      if (client.multi === null) valid = base + pos;
    }
    setExpirePolicy(policy);
    if (broken !== "") break outer;
    base += pos;
    buf = pos < buf.length ? Buffer.from(buf.subarray(pos)) : Buffer.alloc(0);
    if (clock.monoMs > end || readClock() > end) yield;
  }
  closeSync(fd);
  if (broken !== "")
    server.process.fail(
      `Bad file format reading the append only file ${name}: make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>`,
    );
  if (valid === size) return "ok";
  if (client.multi !== null) log.warning(`Revert incomplete MULTI/EXEC transaction in AOF file ${name}`);
  if (!config.bool("aof-load-truncated"))
    server.process.fail(
      `Unexpected end of file reading the append only file ${name}. You can: 1) Make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' configuration option to yes and restart the server.`,
    );
  if (!last) server.process.fail(`Fatal error: the truncated file is not the last file`);
  log.warning(`!!! Warning: short read while loading the AOF file ${name}!!!`);
  log.warning(`AOF ${name} loaded anyway because aof-load-truncated is enabled`);
  log.warning(`Truncating the AOF ${name} at offset ${valid}`);
  try {
    truncateSync(path, valid);
  } catch (error) {
    server.process.fail(`Error truncating the AOF file ${name}: ${(error as Error).message}`);
  }
  return "truncated";
}
