/**
 * `bench failover [ROUNDS] [DOWN_AFTER_MS] [ACT]`: what clients behind the proxy see of a failover, with the original redis-server, redis-sentinel
 * and haproxy, and with ours in every place. One master, two replicas, three Sentinels (quorum 2), a proxy with the article's checks; two
 * writers that keep their connection, two that take a new one every fifth write.
 *
 *   first write   from the act (kill -9, SIGSTOP, SENTINEL FAILOVER) to the first write that the new master acknowledges through the proxy;
 *                 restart (SIGTERM and a start at once, the data saved between): from the end of the old process, no other master is wanted
 *   +odown        on the first Sentinel           +switch-master  on the last of the three
 *   longest wait  the longest that any writer went without an acknowledgement, a patience of two seconds per connection included
 *   lost          acknowledged writes that the new master does not have once the old one follows it
 *   split         from the new master's first acknowledgement to the last one that another server gave through the proxy
 *
 * `bench sentinel` has the times of the Sentinels alone, without proxy.
 */
import { type Program, until } from "../support/programs.ts";
import { Listener } from "../support/sentinel_events.ts";
import { type Kinds, WholeSet, Writer } from "../support/whole_set.ts";
import { median, table } from "./measure.ts";

const ACTS = ["kill -9", "SIGSTOP", "restart", "planned"] as const;
type Act = (typeof ACTS)[number];

const CASTS: Record<string, Kinds> = {
  originals: { servers: ["redis", "redis", "redis"], sentinels: ["redis", "redis", "redis"], proxy: "haproxy" },
  redisha: { servers: ["redisha", "redisha", "redisha"], sentinels: ["redisha", "redisha", "redisha"], proxy: "redisha" },
};
/** The originals do not start a failover within twice this after the last one. */
const FAILOVER_TIMEOUT_MS = 3000;
/** What popular clients wait for a reply before they connect anew. */
const SILENCE_MS = 2000;

interface Round {
  firstMs: number;
  odownMs: number;
  switchMs: number;
  waitMs: number;
  lost: number;
  splitMs: number;
  cut: number;
  errors: number;
}

/** Does it; the moment it was done (performance.now). A Sentinel that is not ready for an order refuses it, and is asked again. */
async function act(set: WholeSet, old: Program, what: Act): Promise<number> {
  let at = performance.now();
  if (what === "SIGSTOP") old.kill("SIGSTOP");
  else if (what === "kill -9") await old.stop("SIGKILL");
  else if (what === "restart") {
    await old.stop("SIGTERM");
    at = performance.now();
    old.start();
  } else
    await until(
      "the order to be taken",
      async () => {
        at = performance.now();
        return (await set.sentinels[0].cli("sentinel", "failover", "m")) === "OK";
      },
      60_000,
    );
  return at;
}

async function comesBack(old: Program, what: Act): Promise<void> {
  if (what === "SIGSTOP") old.kill("SIGCONT");
  else if (what === "kill -9") {
    old.start();
    await old.ready();
  }
}

async function round(set: WholeSet, listener: Listener, what: Act): Promise<Round> {
  const old = (await set.agreed())!;
  const writers = [0, 5, 0, 5].map((perConnection) => new Writer(set.proxy.port, { perConnection, silenceMs: SILENCE_MS }));
  try {
    for (const w of writers) await w.more(20);
    const from = await act(set, old, what);
    // Whoever is back in time stays the master.
    const master = what === "restart" ? old : await set.switchedFrom(old);
    const taken = (): number =>
      Math.min(...writers.flatMap((w) => w.acknowledged.filter((a) => a.atMs > from && a.port === master.port)).map((a) => a.atMs));
    await until("a write at the new master", () => taken() < Infinity, 60_000);
    await comesBack(old, what);
    if (master !== old) await set.follows(old, master);
    await set.isWhole();
    const [odown, switched] = [listener.since("+odown", from), listener.since("+switch-master", from)];
    for (const w of writers) await w.more();
    const end = performance.now();
    await Promise.all(writers.map((w) => w.stop()));
    const since = taken();
    const others = writers.flatMap((w) => w.acknowledged).filter((a) => a.atMs > since && a.port > 0 && a.port !== master.port);
    let lost = 0;
    for (const w of writers) lost += (await w.missingAt(master)).length;
    return {
      firstMs: since - from,
      odownMs: odown.length === 0 ? NaN : Math.min(...odown),
      switchMs: switched.length < set.sentinels.length ? NaN : Math.max(...switched),
      waitMs: Math.max(...writers.map((w) => longestGap(w, from, end))),
      lost,
      splitMs: others.length === 0 ? 0 : Math.max(...others.map((a) => a.atMs)) - since,
      cut: writers.reduce((n, w) => n + w.cut, 0),
      errors: writers.reduce((n, w) => n + Object.values(w.errors).reduce((x, y) => x + y, 0), 0),
    };
  } finally {
    await Promise.all(writers.map((w) => w.stop()));
  }
}

function longestGap(writer: Writer, from: number, end: number): number {
  let longest = 0;
  let last = from;
  for (const at of [...writer.acknowledged.map((a) => a.atMs).filter((t) => t > from && t < end), end]) {
    longest = Math.max(longest, at - last);
    last = at;
  }
  return longest;
}

export async function bench(args: string[]): Promise<void> {
  const rounds = Number(args[0] ?? 3);
  const downAfterMs = Number(args[1] ?? 1000);
  const acts = ACTS.filter((what) => args[2] === undefined || what === args[2]);
  const results = new Map<string, Round[]>();
  const sets = new Map<string, WholeSet>();
  const listeners = new Map<string, Listener>();
  try {
    for (const [name, kinds] of Object.entries(CASTS)) {
      const set = await WholeSet.start(kinds, { downAfterMs, failoverTimeoutMs: FAILOVER_TIMEOUT_MS, conf: { save: "3600 1" } });
      sets.set(name, set);
      const listener = new Listener();
      listeners.set(name, listener);
      await listener.join(set.sentinels);
    }
    // While one set must wait, the other has its round.
    const readyMs = new Map<WholeSet, number>();
    for (const what of acts)
      for (let i = 0; i < rounds; i++)
        for (const [name, set] of sets) {
          await Bun.sleep(Math.max(0, (readyMs.get(set) ?? 0) - performance.now()));
          await set.isWhole();
          const key = `${what} ${name}`;
          const r = await round(set, listeners.get(name)!, what).catch((error: Error) => {
            // Originals take an order, and give it up when their replica does not become master in time.
            if (what !== "planned" || !error.message.includes("a new master")) throw error;
            console.error(`${key}: ${error.message}`);
            return null;
          });
          readyMs.set(set, performance.now() + 2 * FAILOVER_TIMEOUT_MS + 1500);
          if (r === null) continue;
          results.set(key, [...(results.get(key) ?? []), r]);
          const [first, wait, split] = [r.firstMs, r.waitMs, r.splitMs].map(Math.round);
          console.error(`${key}: ${first} ms, wait ${wait} ms, ${r.lost} lost, split ${split} ms, ${r.cut} cut, ${r.errors} errors`);
        }
  } finally {
    for (const l of listeners.values()) l.close();
    for (const set of sets.values()) await set[Symbol.asyncDispose]();
  }
  const rows: (string | number)[][] = [];
  for (const what of acts)
    for (const [name, pick] of [
      ["first write, ms", (r: Round) => r.firstMs],
      ["+odown, ms", (r: Round) => r.odownMs],
      ["+switch-master, ms", (r: Round) => r.switchMs],
      ["longest wait, ms", (r: Round) => r.waitMs],
      ["lost acknowledged writes", (r: Round) => r.lost],
      ["split, ms", (r: Round) => r.splitMs],
      ["connections cut", (r: Round) => r.cut],
      ["error replies", (r: Round) => r.errors],
    ] as const) {
      const of = (cast: string): number => median((results.get(`${what} ${cast}`) ?? []).map(pick).filter((n) => !Number.isNaN(n)));
      if (Number.isNaN(of("originals")) && Number.isNaN(of("redisha"))) continue;
      rows.push([`${what}: ${name}`, of("originals"), of("redisha"), of("originals") === 0 ? NaN : of("redisha") / of("originals")]);
    }
  console.log(`${rounds} rounds each, interleaved, medians; down-after ${downAfterMs} ms`);
  console.log(table(["", "originals", "redisha", "ratio"], rows));
}
