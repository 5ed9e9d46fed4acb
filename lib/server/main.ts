/**
 * Boots the server mode: process and configuration, store, commands, parts, sockets, data, heartbeat. Cold. Redis server.c main.
 *
 *   beginRedis (cli) -> Server -> store, commands -> replication, persistence -> listen -> ready -> load -> cron
 */
import { randomBytes } from "node:crypto";
import { version } from "../cli/version.ts";
import { beginRedis } from "../cli/redis_process.ts";
import { commandRenamer } from "../commands/rename.ts";
import type { Invocation } from "../cli/mode.ts";
import { setHashSeed, setRandomSeed } from "../store/seed.ts";
import { setReleaseHook } from "../store/arena.ts";
import { openDatabases } from "../store/store.ts";
import { setAccessTime } from "../store/access.ts";
import { clock, resyncClock } from "../time/clock.ts";
import { ffiProblem, releasePages } from "../os/ffi.ts";
import { pageBytes } from "../os/machine.ts";
import { followAclConfig, userLineReader } from "../clients/acl/configure.ts";
import { TLS_DIRECTIVES, TLS_NOT_UPDATED } from "../clients/tls.ts";
import { clientLine } from "../clients/info_line.ts";
import { applyClientConfig, applyStoreConfig } from "./apply_config.ts";
import { BootFence } from "./boot_fence.ts";
import { startCron } from "./cron.ts";
import { infoText } from "./info.ts";
import { connectStore } from "./keyspace_events.ts";
import { Listeners } from "./listeners.ts";
import { bindServerCommands } from "./runs.ts";
import { serveWaiting } from "./replication/acks.ts";
import { replicationRuns } from "./replication/commands.ts";
import { Replication } from "./replication/replication.ts";
import { showLongWork } from "./long_work.ts";
import { controlMemory } from "./memory.ts";
import { Migrations } from "./migrate.ts";
import { persistenceRuns } from "./persistence/commands.ts";
import { Aof } from "./persistence/aof/aof.ts";
import { Persistence } from "./persistence/persistence.ts";
import { scriptingRuns } from "./scripting/commands.ts";
import { functionRuns } from "./scripting/function_commands.ts";
import { askScripts } from "./scripting/script_flags.ts";
import { Scripting } from "./scripting/scripting.ts";
import { Server } from "./server.ts";
import { endOnSignal, ending } from "./shutdown.ts";

/** Runs a server until it is shut down; the process ends by itself. */
export async function runServer(invocation: Invocation): Promise<void> {
  let server: Server | null = null;
  const process = await beginRedis(invocation, {
    handlers: () => ({
      renameCommand: commandRenamer("server"),
      user: userLineReader("server"),
    }),
    sections: () =>
      server === null
        ? []
        : [
            { title: "INFO OUTPUT", text: infoText(server, ["everything"]) },
            { title: "CLIENT LIST OUTPUT", text: [...server.dispatcher.clients.values()].map((c) => clientLine(c)).join("\n") },
          ],
  });
  const { config, log } = process;
  resyncClock();
  setAccessTime(clock.nowMs);
  const seed = randomBytes(12);
  setHashSeed(seed.readInt32LE(0), seed.readInt32LE(4));
  setRandomSeed(seed.readInt32LE(8));
  // Without FFI the store lets whole empty segments go instead.
  if (ffiProblem() === null) {
    const page = pageBytes();
    setReleaseHook((memory, offset, length) => void releasePages(new Uint8Array(memory), offset, offset + length, page));
  }
  openDatabases(config.number("databases"));

  server = new Server(process, version, randomBytes(20).toString("hex"));
  const s = server;
  applyStoreConfig(config);
  applyClientConfig(config, s.service.settings, () => s.service.configure());
  followAclConfig(s.service, config);
  connectStore(s);
  controlMemory(s);
  const persistence = new Persistence(s);
  const aof = new Aof(s, persistence);
  const replication = new Replication(s, persistence);
  replication.aofOffset = () => aof.syncedOffset;
  aof.writer.streamOffset = () => replication.offset;
  aof.writer.onSynced = () => serveWaiting(replication);
  const scripting = new Scripting(s);
  s.parts.scriptMemory = () => scripting.memory();
  const migrations = new Migrations(s);
  s.parts.migrateLinks = () => migrations.cachedLinks;
  s.parts.busy = () => scripting.busyLine();
  s.parts.libraries = scripting.libraryStore();
  bindServerCommands(
    s,
    scriptingRuns(scripting),
    functionRuns(scripting),
    migrations.runs(),
    persistenceRuns(persistence),
    aof.runs(),
    replicationRuns(replication),
  );

  askScripts(scripting, s.dispatcher.table);

  const usersRefused = s.service.aclFile.begin(config.users);
  if (usersRefused !== null) process.fail(usersRefused);
  const { tls } = s;
  if (tls.isWanted && !tls.configure()) process.fail("Failed to configure TLS. Check logs for more info.");
  const listeners = new Listeners(s, tls, s.service.ingest.handler);
  const refused = listeners.start();
  if (refused !== null) process.fail(refused);
  s.listeners = listeners.info;
  const relisten = (refusal: string): string | null => {
    const why = listeners.start();
    s.listeners = listeners.info;
    if (why === null) process.showTitle();
    return why === null ? null : refusal;
  };
  config.hook("port", () => relisten("Unable to listen on this port. Check server logs."));
  config.hook("tls-port", () => {
    if (config.number("tls-port") !== 0 && tls.listening === null && !tls.configure()) return TLS_NOT_UPDATED;
    return relisten("Unable to listen on this port. Check server logs.");
  });
  config.hook(TLS_DIRECTIVES, () => {
    if (tls.isWanted && !tls.configure()) return TLS_NOT_UPDATED;
    return relisten("Unable to listen on this port. Check server logs.");
  });
  config.hook("bind", () => relisten("Failed to bind to specified addresses."));
  ending.closeListeners = () => listeners.close();
  process.onShutdown(
    (signal) => {
      const flags = config.choice(signal === "SIGINT" ? "shutdown-on-sigint" : "shutdown-on-sigterm").split(" ");
      const save = flags.includes("save") ? "yes" : flags.includes("nosave") ? "no" : "configured";
      endOnSignal(s, { save, now: flags.includes("now"), force: flags.includes("force") });
    },
    () => s.loading,
  );
  replication.prepare();
  new BootFence(s, () => replication.setGates()).begin();
  showLongWork(s, process.background, persistence, aof, replication);
  log.notice("Server initialized");
  s.startupMemory = s.usedMemory();
  process.ready();
  if (!(await aof.boot())) await persistence.loadAtBoot();
  replication.begin(persistence.lastLoaded);
  startCron(s);
  log.notice("Ready to accept connections tcp");
}
