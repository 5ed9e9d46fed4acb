/**
 * The contract between a Sentinel engine and the world around it: events go in, actions come out. Pure data, no I/O.
 *
 *   sockets, timers, files, clients --Event--> Engine.step --Action[]--> driver (lib/sentinel/driver.ts) or a simulated world (tests/sim)
 *
 * The driver carries actions out in their order. It finishes a `persist` (file, fsync, rename, fsync of the directory) before it
 * touches the next action, then tells the engine with `persisted`; what that step returns comes before the rest of the old list.
 * Two engines speak it: ours (core/engine.ts, decides on events) and, in the tests, a model of the original sentinel.c (ticks).
 */
import { ReplyError, type Reply } from "../../resp/reply.ts";

/** The log levels of Redis (lib/log knows them by the same names). */
export type Level = "debug" | "verbose" | "notice" | "warning";

/** Uniform in [0, 1). */
export type Random = () => number;

/** What an engine starts from: the file's `sentinel ...` lines and what the rest of the configuration says. */
export interface Boot {
  /** The arguments after the word `sentinel`, one array a line, in file order, e.g. ["monitor", "m", "127.0.0.1", "6379", "2"]. */
  directives: string[][];
  /** 40 hex digits, used when no `myid` line is there. */
  freshId: string;
  /** The port hellos announce unless announce-port is set (the TLS port when outgoing links use TLS). */
  port: number;
  /** `requirepass`: also used towards other Sentinels when sentinel-pass is not set. "" for none. */
  requirepass: string;
  /** For SENTINEL CONFIG GET; default notice. */
  logLevel?: string;
  /** May this path be executed? Default: yes. */
  canExecute?: (path: string) => boolean;
  /** The wall clock's ms at a time of the engine's clock; for what people read, never for a decision. */
  wallMs?: (nowMs: number) => number;
  /** For whom this Sentinel voted last, by master: [runid, epoch]. Counts where the epoch is that of the `leader-epoch` line. */
  votes?: Record<string, [string, number]>;
  /** Names that were resolved before the start (host -> ip). */
  resolved?: Record<string, string>;
}

/** A Sentinel without its sockets. `nowMs` is a monotonic clock in whole ms; it never goes back for our engine. */
export interface Engine {
  readonly myid: string;
  /** Takes one event; returns what must be done about it, in order. Never throws on input from outside. */
  step(event: Event, nowMs: number, random: Random): Action[];
  /** The `sentinel ...` lines (arguments after that word) which a restart needs, in the order of the original's rewrite. */
  directives(): string[][];
}

/** Number of a link; the engine picks a fresh one for each `connect`, so events of a closed link are recognised and ignored. */
export type LinkId = number;
/** Number of a client connection at this Sentinel. */
export type ClientId = number;

export type Event =
  /** First event after construction. */
  | { kind: "start" }
  /** The time of the last `deadline` action has come (a little early or late does no harm). */
  | { kind: "timer" }
  /** A connect succeeded. `localIp` is our end's address: hellos announce it. */
  | { kind: "linkUp"; link: LinkId; localIp: string }
  /** A connect failed or a link went away by itself; unanswered commands are lost. Never follows a `close` action. */
  | { kind: "linkDown"; link: LinkId; reason: string; refused: boolean }
  /** The next reply on a cmd link: replies come in the order of the commands sent. */
  | { kind: "reply"; link: LinkId; reply: Reply }
  /** An array on a pubsub link: ["message", channel, payload], ["subscribe", channel, n]. */
  | { kind: "message"; link: LinkId; items: Reply[] }
  /** A client's command that the engine answers: SENTINEL ... and PUBLISH. Exactly one `answer` follows, in this step or a later one. */
  | { kind: "command"; client: ClientId; args: string[] }
  /** Answer to a `resolve` action; ip null: not found. */
  | { kind: "resolved"; host: string; ip: string | null }
  /** Outcome of a `persist` action; error null: it is on disk. */
  | { kind: "persisted"; token: number; error: string | null }
  /** Settings outside the `sentinel ...` lines have changed (CONFIG-like commands of the driver). */
  | { kind: "settings"; port?: number; requirepass?: string };

export type Action =
  /** Open a connection to ip:port. linkUp or linkDown follows. */
  | { kind: "connect"; link: LinkId; channel: "cmd" | "pubsub"; to: "master" | "slave" | "sentinel"; ip: string; port: number }
  /** Close and forget: no event of this link comes any more. Also cancels a connect under way. */
  | { kind: "close"; link: LinkId }
  /** Send a command. On a cmd link exactly one reply (or linkDown) follows; on a pubsub link messages do. Waits for linkUp by itself. */
  | { kind: "send"; link: LinkId; args: string[] }
  /** Write engine.directives() durably, then `persisted`. */
  | { kind: "persist"; token: number }
  /** An event of spec 3: logged as `type payload` at `level`, and published on channel `type` unless level is debug. */
  | { kind: "emit"; level: Level; type: string; payload: string }
  /** A plain log line. With `untilMs` (same clock as nowMs) that time's ctime() text is appended. */
  | { kind: "log"; level: Level; text: string; untilMs?: number }
  /** Queue a script run. */
  | { kind: "runScript"; script: "notification" | "reconfig"; path: string; args: string[] }
  /** POST a warning about a master. */
  | { kind: "webhook"; url: string; master: string; type: string; payload: string }
  /** Send `timer` at this time. Replaces the earlier deadline; sent only when it changes. */
  | { kind: "deadline"; atMs: number }
  /** The reply to a client's `command`. */
  | { kind: "answer"; client: ClientId; answer: Answer }
  /** Look a host name up, then `resolved`. */
  | { kind: "resolve"; host: string }
  /** SENTINEL CONFIG SET loglevel. */
  | { kind: "logLevel"; level: Level | "nothing" }
  /** SENTINEL SIMULATE-FAILURE: end the process at once with this code. */
  | { kind: "exit"; code: number };

/**
 * A reply as a value: a string is a bulk, a number an integer, null the null bulk. The driver encodes it for RESP2 or RESP3.
 * Strings are latin1.
 */
export type Answer =
  | string
  | number
  | null
  | Answer[]
  | { status: string }
  | { error: string }
  | { nilArray: true }
  /** Flat list of key, value, ...: a map in RESP3. */
  | { map: Answer[] };

/** The answer as a RESP2 client's reader returns it (simulated worlds hand it straight to the asking engine). */
export function replyOf(answer: Answer): Reply {
  if (answer === null || typeof answer !== "object") return answer;
  if (Array.isArray(answer)) return answer.map(replyOf);
  if ("status" in answer) return answer.status;
  if ("error" in answer) return new ReplyError(answer.error);
  if ("map" in answer) return answer.map.map(replyOf);
  return null;
}

/** The channel of hellos on every monitored server. Redis sentinel.c: SENTINEL_HELLO_CHANNEL. */
export const HELLO_CHANNEL = "__sentinel__:hello";
