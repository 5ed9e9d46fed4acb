/**
 * MEMORY STATS, DOCTOR, PURGE and MALLOC-STATS, and the figures that INFO memory shares with them. Cold. Redis object.c getMemoryOverheadData.
 * MEMORY USAGE looks at one key and is in commands/memory.ts.
 */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { humanBytes } from "../bytes/memory.ts";
import { doubleText } from "../bytes/number.ts";
import { processMemory } from "../os/memory.ts";
import { releaseStep, reservedBytes, usedMemory } from "../store/arena.ts";
import type { Server } from "./server.ts";

export interface MemoryFigures {
  used: number;
  peak: number;
  startup: number;
  /** Of the buffer that the backlog and replicas share: the backlog's part, and what replicas hold beyond it. */
  backlog: number;
  replicas: number;
  clients: number;
  aofBuffer: number;
  /** The keyspaces' tables. */
  tables: number;
  scripts: number;
  overhead: number;
  dataset: number;
  datasetPercent: number;
  keys: number;
  reserved: number;
  rss: number;
}

/** All of it, as of now. */
export function memoryFigures(s: Server): MemoryFigures {
  const used = s.usedMemory();
  s.stats.peakMemory = Math.max(s.stats.peakMemory, used);
  const replication = s.parts.replicationMemory();
  const replicas = replication.replicas ? Math.max(0, replication.buffer - replication.backlog) : 0;
  const clients = s.service.registry.allMemoryBytes;
  const aofBuffer = s.parts.aofBufferBytes();
  const tables = s.databases.reduce((sum, d) => sum + d.main.byteSize() + d.volatile.byteSize(), 0);
  const { scripts } = s.parts.scriptMemory();
  const overhead = Math.min(used, s.startupMemory + replication.buffer + clients + aofBuffer + tables + scripts);
  const dataset = Math.max(0, used - overhead);
  return {
    used,
    peak: s.stats.peakMemory,
    startup: s.startupMemory,
    backlog: replication.buffer - replicas,
    replicas,
    clients,
    aofBuffer,
    tables,
    scripts,
    overhead,
    dataset,
    datasetPercent: (dataset / Math.max(1, used - s.startupMemory)) * 100,
    keys: s.databases.reduce((sum, d) => sum + d.size, 0),
    // What lies outside the arena is taken as it is used.
    reserved: Math.max(used, used - usedMemory() + reservedBytes()),
    rss: processMemory().rss,
  };
}

function stats(s: Server, c: Call): void {
  const m = memoryFigures(s);
  const { out } = c;
  const filled = s.databases.filter((d) => d.size > 0);
  const int = (name: string, v: number): void => {
    out.bulkText(name);
    out.int(Math.round(v));
  };
  const double = (name: string, v: number): void => {
    out.bulkText(name);
    out.doubleText(doubleText(v));
  };
  out.map(27 + filled.length);
  int("peak.allocated", m.peak);
  int("total.allocated", m.used);
  int("startup.allocated", m.startup);
  int("replication.backlog", m.backlog);
  int("clients.slaves", m.replicas);
  int("clients.normal", m.clients);
  int("cluster.links", 0);
  int("aof.buffer", m.aofBuffer);
  int("lua.caches", m.scripts);
  int("functions.caches", 0);
  for (const d of filled) {
    out.bulkText(`db.${d.index}`);
    out.map(3);
    int("overhead.hashtable.main", d.main.byteSize());
    int("overhead.hashtable.expires", d.volatile.byteSize());
    int("overhead.hashtable.slot-to-keys", 0);
  }
  int("overhead.total", m.overhead);
  int("keys.count", m.keys);
  int("keys.bytes-per-key", m.keys === 0 ? 0 : Math.floor((m.used - m.startup) / m.keys));
  int("dataset.bytes", m.dataset);
  double("dataset.percentage", m.datasetPercent);
  double("peak.percentage", (m.used / Math.max(1, m.peak)) * 100);
  int("allocator.allocated", m.used);
  int("allocator.active", m.reserved);
  int("allocator.resident", m.reserved);
  double("allocator-fragmentation.ratio", m.reserved / Math.max(1, m.used));
  int("allocator-fragmentation.bytes", m.reserved - m.used);
  double("allocator-rss.ratio", 1);
  int("allocator-rss.bytes", 0);
  double("rss-overhead.ratio", m.rss / Math.max(1, m.reserved));
  int("rss-overhead.bytes", m.rss - m.reserved);
  double("fragmentation", m.rss / Math.max(1, m.used));
  int("fragmentation.bytes", m.rss - m.used);
}

/** Below this much there is nothing to diagnose. */
const SMALL_BYTES = 5 * 1024 * 1024;
const MANY_CLIENT_BYTES = 200 * 1024;
const MANY_REPLICA_BYTES = 10 * 1024 * 1024;

/** What is out of the ordinary, a paragraph each. */
function diagnosis(s: Server): string {
  const m = memoryFigures(s);
  if (m.used < SMALL_BYTES) return "There is too little data here to say anything about its memory.";
  const found: string[] = [];
  if (m.peak > m.used * 1.5)
    found.push(
      `Peak: the data set once took ${humanBytes(m.peak)}, now it takes ${humanBytes(m.used)}. Pages that have emptied go back to the system; the rest is there for new keys.`,
    );
  if (m.reserved > m.used * 1.4 && m.reserved - m.used > 10 * 1024 * 1024)
    found.push(
      `Fragmentation: ${humanBytes(m.reserved)} are reserved for ${humanBytes(m.used)} of data. Blocks of sizes that are in use no more hold pages open; MEMORY PURGE gives back what is empty.`,
    );
  const clients = s.dispatcher.clients.size;
  if (clients > 0 && m.clients / clients > MANY_CLIENT_BYTES)
    found.push(
      `Clients: they hold ${humanBytes(m.clients)} in buffers, ${humanBytes(m.clients / clients)} each. Look at qbuf, omem and tot-mem in CLIENT LIST, and at client-output-buffer-limit and maxmemory-clients.`,
    );
  if (m.replicas > MANY_REPLICA_BYTES)
    found.push(`Replicas: ${humanBytes(m.replicas)} wait for them beyond the backlog. One of them is slow, or its link is.`);
  if (found.length === 0) return "Nothing is out of the ordinary.";
  return found.join("\n\n");
}

/** Gives all pages that are empty back to the system. */
function purge(c: Call): void {
  while (releaseStep(1 << 26) > 0);
  c.out.ok();
}

export function memoryCommandRuns(s: Server): Record<string, Run> {
  return {
    "memory|stats": (c) => stats(s, c),
    "memory|doctor": (c) => c.out.verbatim(diagnosis(s), "txt"),
    "memory|malloc-stats": (c) => c.out.bulkText("Stats not supported for the current allocator"),
    "memory|purge": purge,
  };
}
