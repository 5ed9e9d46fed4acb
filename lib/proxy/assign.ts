/**
 * Which backend and which server a session gets, and whether it has to wait: use_backend and use-server rules, the balance algorithms,
 * queues by maxconn (HAProxy configuration 4.2, H9 in the notes), the authority's hold. WARM: once a connection.
 */
import type { Fetch } from "./core/acl.ts";
import { isTrue } from "./core/acl.ts";
import { first, leastConn, randomDraws, sourceHash } from "./core/balance.ts";
import type { Engine } from "./engine.ts";
import type { Session } from "./session.ts";
import type { Backend, Frontend, Server } from "./state.ts";

/** What conditions look at of a connection: a session, or a client of a `mode http` section. */
export interface Asker {
  readonly front: Frontend;
  readonly back: Backend | null;
  readonly client: { remoteAddress: string; remotePort: number; localAddress: string; localPort: number };
}

/** The answers that conditions ask for about this connection. */
export function commonFetch(engine: Engine, session: Asker): Fetch {
  const count = (name: string): number => {
    const b = engine.backends.get(name === "" ? (session.back?.name ?? "") : name);
    return b === undefined ? 0 : b.activeServers + b.backupServers;
  };
  return (name, argument) => {
    switch (name) {
      case "nbsrv":
        return count(argument);
      case "srv_is_up": {
        const path = argument.includes("/") ? argument : `${session.back?.name ?? ""}/${argument}`;
        return engine.findServer(path)?.isUsable ?? false;
      }
      case "srv_conn":
        return engine.findServer(argument)?.active ?? null;
      case "srv_weight":
        return engine.findServer(argument)?.weight ?? null;
      case "be_conn":
        return engine.backends.get(argument || (session.back?.name ?? ""))?.active ?? null;
      case "fe_conn":
        return (argument === "" ? session.front : engine.frontends.find((f) => f.name === argument))?.active ?? null;
      case "connslots": {
        const b = engine.backends.get(argument || (session.back?.name ?? ""));
        if (b === undefined || b.servers.some((s) => s.isUsable && s.maxconn === 0)) return -1;
        return b.servers.reduce((n, s) => n + (s.isUsable ? s.maxconn - s.active + Math.max(0, s.config.maxqueue - s.queue.length) : 0), 0);
      }
      case "avg_queue": {
        const b = engine.backends.get(argument || (session.back?.name ?? ""));
        const up = count(argument);
        return b === undefined ? null : up === 0 ? b.pending : Math.floor((b.pending + up - 1) / up);
      }
      case "dst_conn":
        return session.front.active;
      case "be_sess_rate":
        return engine.backends.get(argument || (session.back?.name ?? ""))?.rate.read(Date.now()) ?? null;
      case "queue":
        return engine.backends.get(argument || (session.back?.name ?? ""))?.pending ?? null;
      case "src":
        return session.client.remoteAddress;
      case "src_port":
        return session.client.remotePort;
      case "dst":
        return session.client.localAddress;
      case "dst_port":
        return session.client.localPort;
      case "always_true":
        return true;
      case "always_false":
        return false;
      case "bool":
        return argument === "true" || argument === "1";
      case "int":
        return Number(argument);
      case "env":
        return process.env[argument] ?? null;
      default:
        return null;
    }
  };
}

/** The backend of a new session: the first rule that holds, else the default; a listen section is its own. */
export function chooseBackend(engine: Engine, session: Session): Backend | null {
  const front = session.front;
  for (const rule of front.config.useBackend)
    if (isTrue(rule.condition, commonFetch(engine, session))) return engine.backends.get(rule.target) ?? null;
  if (front.config.kind === "listen") return engine.backends.get(front.name) ?? null;
  return engine.backends.get(front.config.defaultBackend) ?? null;
}

/** What the session has to do: a server to connect to, a queue to stand in, a hold, or nothing that could serve it. */
export type Assignment =
  | { kind: "server"; server: Server }
  | { kind: "queue"; server: Server | null }
  /** Its queue is full (maxqueue); `byRule`: a use-server rule has asked for it, which redispatch may overrule. */
  | { kind: "full"; server: Server; byRule: boolean }
  | { kind: "hold" }
  | { kind: "none" };

/** Algorithms that pass full servers over: when somebody waits for any server there is none with room. */
const ANY_WITH_ROOM = /^(roundrobin|static-rr|leastconn|first)$/;

/** `avoid`: the server that has just failed, when another one may be tried; `rules`: use-server rules are asked. */
export function assign(engine: Engine, session: Session, avoid: Server | null, rules = true): Assignment {
  const back = session.back!;
  for (const rule of rules ? back.config.useServer : []) {
    const s = back.servers.find((x) => x.name === rule.target);
    if (s === undefined || !s.isUp || s === avoid || !isTrue(rule.condition, commonFetch(engine, session))) continue;
    if (back.byAuthority && s !== back.chosen) continue;
    return at(s, true);
  }
  const candidates = back.candidates();
  if (candidates.length === 0) return back.byAuthority ? { kind: "hold" } : { kind: "none" };
  const waiting = back.queue.length;
  if (waiting > 0 && waiting !== back.active && ANY_WITH_ROOM.test(back.config.balance)) return { kind: "queue", server: null };
  const free = candidates.filter(isFree);
  // Nobody has room: one waits for whoever has it first.
  if (free.length === 0 && back.config.balance !== "source") return { kind: "queue", server: null };
  const server = pick(back, candidates, free, session.client.remoteAddress, avoid);
  if (server === null) return { kind: "none" };
  if (back.config.balance === "source" || (server.hasRoom && server.queue.length === 0)) {
    server.balanced++;
    back.balanced++;
  }
  if (back.config.balance === "source") return at(server, false);
  return server.hasRoom && server.queue.length === 0 ? { kind: "server", server } : { kind: "queue", server: null };
}
/** This server and no other: a slot of it, or a place in its own queue. */
function at(server: Server, byRule: boolean): Assignment {
  if (server.hasRoom && server.queue.length === 0) return { kind: "server", server };
  const { maxqueue } = server.config;
  return maxqueue > 0 && server.queue.length >= maxqueue ? { kind: "full", server, byRule } : { kind: "queue", server };
}

const isFree = (s: Server): boolean => s.hasRoom && s.queue.length === 0;
/** One of `free`; by source of all. */
function pick(back: Backend, all: Server[], free: Server[], clientAddress: string, avoid: Server | null): Server | null {
  switch (back.config.balance) {
    case "leastconn":
      return leastConn(back.wheel, free, avoid);
    case "first":
      return first(free, avoid);
    case "source":
      return back.weightMap.at(all, sourceHash(clientAddress));
    case "static-rr":
      return back.weightMap.next(all, isFree, avoid);
    case "random":
      return randomDraws(free, Number(back.config.balanceArgument) || 2, Math.random);
    default:
      return back.roundRobin.next(all, isFree, avoid);
  }
}

/** A place in the queues: the server's own for a session that must have this one, else the backend's. */
export function enqueue(session: Session, server: Server | null): void {
  const of = server ?? session.back!;
  session.turnAt = of.turns;
  of.queue.push(session);
  if (server !== null) server.queued++;
  if (of.queue.length > of.queuedMax) of.queuedMax = of.queue.length;
}
/** Out of the queue that it stands in; its log line says which turn there it had or would have had. */
export function dequeue(session: Session): void {
  const server = session.wants;
  const of = server ?? session.back!;
  const at = of.queue.indexOf(session);
  if (at < 0) return;
  of.queue.splice(at, 1);
  const turn = of.turns - session.turnAt + 1;
  if (server === null) session.backQueueAhead += turn;
  else {
    server.queued--;
    session.srvQueueAhead += turn;
  }
}

/** The session that may take a slot of `server` which has become free: of both queues the one that waits longest. */
export function nextFor(server: Server): Session | null {
  const back = server.backend;
  if ((server.queue.length === 0 && back.queue.length === 0) || !server.hasRoom) return null;
  const takesAny = back.candidates().includes(server);
  if (!takesAny && (back.byAuthority || !server.isUp)) return null;
  const own = server.queue[0];
  const any = takesAny ? back.queue[0] : undefined;
  const next = own === undefined ? any : any === undefined ? own : own.acceptedMs <= any.acceptedMs ? own : any;
  if (next === undefined) return null;
  dequeue(next);
  (next === own ? server : back).turns++;
  return next;
}

/** Those of the backend's queue that a server which has come up, or may take more, has room for; they are out of the queue. */
export function takeWaiting(server: Server): Session[] {
  const back = server.backend;
  if (back.queue.length === 0 || !back.candidates().includes(server)) return [];
  const room = server.maxconn === 0 ? Infinity : server.slots - server.active;
  const taken = back.queue.slice(0, Math.max(0, room));
  for (const s of taken) dequeue(s);
  return taken;
}

/** A frontend place that has become free goes to the first connection that waits for one. */
export function nextWaiting(front: Frontend): Session | null {
  if (front.maxconn > 0 && front.active >= front.maxconn) return null;
  return front.waiting.shift() ?? null;
}
