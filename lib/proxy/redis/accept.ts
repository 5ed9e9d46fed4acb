/** The way into and out of mode redis: a place in the frontend, a backend, counters, the log line. COLD: once a connection. */
import type { Conn } from "../../net/conn.ts";
import { logDate } from "../../log/haproxy_line.ts";
import { chooseBackend, nextWaiting } from "../assign.ts";
import type { Engine } from "../engine.ts";
import type { Session } from "../session.ts";
import type { Frontend } from "../state.ts";
import { admitsContent } from "../tcp_rules.ts";
import { nowMs } from "../timers.ts";
import type { Board } from "./board.ts";
import { clientEvents, RedisClient } from "./client.ts";

/** How many connections wait to be let in, per frontend. */
const waiting = new WeakMap<Frontend, Conn<any>[]>();

/** A connection has come: served when the frontend has a place, else not read until it has. */
export function acceptRedis(engine: Engine, front: Frontend, conn: Conn<any>): void {
  const full = (front.maxconn > 0 && front.active >= front.maxconn) || (engine.maxconn > 0 && engine.active >= engine.maxconn);
  if (!full) return admit(engine, front, conn);
  conn.pause();
  let list = waiting.get(front);
  if (list === undefined) waiting.set(front, (list = []));
  list.push(conn);
  conn.handler = {
    ...clientEvents,
    data: () => {},
    drained: () => {},
    end: () => {},
    close() {
      const at = list.indexOf(conn);
      if (at >= 0) list.splice(at, 1);
    },
  };
}

function admit(engine: Engine, front: Frontend, conn: Conn<any>): void {
  const back = chooseBackend(engine, { front, client: conn, back: null } as unknown as Session);
  const board = (back?.board ?? null) as Board | null;
  const asker = { front, back, client: conn };
  if (back === null || board === null) return conn.close();
  if (!admitsContent(engine, asker, front) || (back.config !== front.config && !admitsContent(engine, asker, back))) return conn.close();
  engine.active++;
  front.active++;
  front.sessionsTotal++;
  if (front.active > front.activeMax) front.activeMax = front.active;
  back.active++;
  back.sessionsTotal++;
  if (back.active > back.activeMax) back.activeMax = back.active;
  const client = new RedisClient(engine, front, board, conn as Conn<RedisClient>);
  conn.data = client;
  conn.handler = clientEvents;
  board.clients.add(client);
  engine.redisClients.add(client);
  if (front.config.options.has("clitcpka")) conn.keepAlive(front.config.keepalive.clientIdleMs);
  const timeout = front.config.timeouts.client ?? 0;
  if (timeout > 0) engine.timers.set(client, nowMs() + timeout);
  conn.resume();
}

/** A client has gone: its place is free, its line is written. */
export function finished(client: RedisClient, flags: string): void {
  const { engine, front, board } = client;
  const back = board.backend;
  back.active--;
  front.active--;
  engine.active--;
  engine.redisClients.delete(client);
  client.countBytes();
  if (!front.log.isSilent && front.config.logFormat !== "") log(client, flags);
  const list = waiting.get(front);
  const next = list?.shift();
  if (next?.isOpen) admit(engine, front, next);
  nextWaiting(front)?.admit();
  engine.onIdle?.();
}

/** tcplog's line; the server is the one in use at the end. */
function log(client: RedisClient, flags: string): void {
  const { front, board, conn } = client;
  const options = front.config.options;
  if (options.has("dontlognull") && client.bytesUp === 0) return;
  if (options.has("dontlog-normal") && flags === "--") return;
  const total = Math.round(nowMs() - client.createdMs);
  front.log.log(
    flags !== "--" && options.has("log-separate-errors") ? 3 : 6,
    `${conn.remoteAddress || "unix"}:${conn.remotePort} [${logDate(new Date(Date.now() - total))}] ${front.name} ` +
      `${board.backend.name}/${board.target?.name ?? "<NOSRV>"} 0/0/${total} ${client.bytesDown} ${flags} ` +
      `${client.engine.active}/${front.active}/${board.backend.active}/${board.target?.active ?? 0}/0 0/0`,
  );
}
