/** What mode redis tells people: `show redis commands | hotkeys | held | pinned | slow | big`. COLD, texts only. */
import type { Traffic } from "../../page/page.ts";
import type { Board } from "./board.ts";
import { line } from "./local.ts";
import type { Notable } from "./meter.ts";

const SHARES = [0.5, 0.9, 0.99, 0.999];

/** One line a command that was sent: count, errors, bytes, p50 p90 p99 p99.9 in ms. */
export function commandsText(board: Board): string {
  const { meter } = board;
  const rows = meter.table.all.filter((r) => meter.calls[r.id] > 0).sort((a, b) => meter.calls[b.id] - meter.calls[a.id]);
  let text = `# ${board.backend.name}: command calls errors bytes_out p50_ms p90_ms p99_ms p99.9_ms\n`;
  for (const r of rows) {
    const times = SHARES.map((s) => meter.percentile(r.id, s).toFixed(3)).join(" ");
    text += `${r.name} ${meter.calls[r.id]} ${meter.errors[r.id]} ${meter.bytes[r.id]} ${times}\n`;
  }
  return text;
}

/** Requests on the shared connections: kept for the next master, and sent without an answer yet. */
function underWay(board: Board): { kept: number; inFlight: number } {
  let kept = 0;
  let inFlight = 0;
  for (const up of board.allShared()) {
    kept += up.kept.length;
    inFlight += up.awaiting - up.kept.length;
  }
  return { kept, inFlight };
}

/** The figures that the dashboard shows. */
export function trafficOf(board: Board): Traffic {
  const { meter, backend } = board;
  const { kept, inFlight } = underWay(board);
  return {
    proxy: backend.name,
    clients: board.clients.size,
    waiting_clients: board.held.size,
    waiting_requests: kept,
    under_way: inFlight,
    held_total: meter.held,
    replayed_total: meter.replayed,
    unknown_total: meter.unknown,
    lost_bytes_total: backend.lostBytes,
    hot_keys: meter.hot.top(10).map((k) => ({ key: k.key, calls: k.count, share: k.share })),
  };
}

/** What failovers have done to requests, and what waits now. */
export function heldText(board: Board): string {
  const { meter, backend } = board;
  const { kept, inFlight } = underWay(board);
  return (
    `# ${backend.name}\nclients ${board.clients.size}\nwaiting_clients ${board.held.size}\nwaiting_requests ${kept}\nunder_way ${inFlight}\n` +
    `pinned ${board.pins.size}\nheld_total ${meter.held}\nreplayed_total ${meter.replayed}\nunknown_total ${meter.unknown}\n` +
    `unavailable_total ${meter.unavailable}\ndenied_total ${meter.denied}\nlost_bytes_total ${backend.lostBytes}\n`
  );
}

/** Keys that were asked for most, by one request in 64. */
export function hotKeysText(board: Board): string {
  const top = board.meter.hot.top(32);
  return `# ${board.backend.name}: key about_calls share\n${top.map((k) => `${JSON.stringify(k.key)} ${k.count} ${k.share.toFixed(4)}\n`).join("")}`;
}

/** Clients with a connection of their own. */
export function pinnedText(board: Board): string {
  const lines = [...board.clients].filter((c) => c.pin !== null).map((c) => `${line(c)}\n`);
  return `# ${board.backend.name}\n${lines.join("")}`;
}

function notables(name: string, list: readonly Notable[]): string {
  const one = (n: Notable): string =>
    `${new Date(n.at).toISOString()} ${n.ms.toFixed(1)} ${n.bytes} ${n.client} ${JSON.stringify(n.request || n.command)}\n`;
  return `# ${name}: time ms bytes client request\n${list.map(one).join("")}`;
}
export function slowText(board: Board): string {
  return notables(board.backend.name, board.meter.slow.items);
}
export function bigText(board: Board): string {
  return notables(board.backend.name, board.meter.big.items);
}

/** The same figures for Prometheus: families with their help, lines by backend. */
export function metricsText(boards: readonly Board[]): string {
  let text = "";
  const family = (name: string, help: string, type: "counter" | "gauge", value: (b: Board) => number): void => {
    text += `# HELP redisha_${name} ${help}\n# TYPE redisha_${name} ${type}\n`;
    for (const b of boards) text += `redisha_${name}{proxy="${b.backend.name}"} ${value(b)}\n`;
  };
  family("redis_clients", "Clients of mode redis.", "gauge", (b) => b.clients.size);
  family("redis_pinned", "Clients with a connection of their own.", "gauge", (b) => b.pins.size);
  family("redis_waiting", "Clients that wait for a master.", "gauge", (b) => b.held.size);
  family("redis_held_total", "Clients that have waited for a master.", "counter", (b) => b.meter.held);
  family("redis_replayed_total", "Requests sent again to the next master.", "counter", (b) => b.meter.replayed);
  family("redis_unknown_total", "Requests answered with -UNKNOWNRESULT.", "counter", (b) => b.meter.unknown);
  family("redis_unavailable_total", "Requests answered with -UNAVAILABLE.", "counter", (b) => b.meter.unavailable);
  family("redis_denied_total", "Requests refused by redis-deny or redis-user.", "counter", (b) => b.meter.denied);
  family(
    "redis_lost_bytes_total",
    "Bytes of writes that old masters had and their successors have not.",
    "counter",
    (b) => b.backend.lostBytes,
  );
  text += "# HELP redisha_redis_calls_total Requests answered, by command.\n# TYPE redisha_redis_calls_total counter\n";
  for (const b of boards)
    for (const r of b.meter.table.all)
      if (b.meter.calls[r.id] > 0)
        text += `redisha_redis_calls_total{proxy="${b.backend.name}",command="${r.name}"} ${b.meter.calls[r.id]}\n`;
  text += "# HELP redisha_redis_seconds Time to the answer, by command.\n# TYPE redisha_redis_seconds summary\n";
  for (const b of boards)
    for (const r of b.meter.table.all)
      if (b.meter.calls[r.id] > 0)
        for (const s of SHARES) {
          const seconds = b.meter.percentile(r.id, s) / 1000;
          text += `redisha_redis_seconds{proxy="${b.backend.name}",command="${r.name}",quantile="${s}"} ${seconds}\n`;
        }
  return text;
}
