/** What mode redis tells people: `show redis commands | hotkeys | held | pinned | slow | big`. COLD, texts only. */
import type { Row } from "../../commands/table/row.ts";
import type { Engine } from "../engine.ts";
import type { Traffic } from "../../page/page.ts";
import type { Board } from "./board.ts";
import { line } from "./local.ts";
import type { Meter, Notable } from "./meter.ts";

const SHARES = [0.5, 0.9, 0.99, 0.999];

/** One line a command that was sent: count, errors, bytes, p50 p90 p99 p99.9 in ms. */
export function commandsText(board: Board): string {
  const { meter } = board;
  let text = `# ${board.backend.name}: command calls errors bytes_out p50_ms p90_ms p99_ms p99.9_ms\n`;
  for (const r of usedRows(board)) {
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

/** Every backend of mode redis. */
export function boardsOf(engine: Engine): Board[] {
  return [...engine.backends.values()].flatMap((b) => (b.board === null ? [] : [b.board as Board]));
}

/** Families of one figure a backend: name, help, value. Counters end in _total. */
const FIGURES: [string, string, (b: Board) => number][] = [
  ["clients", "Clients of mode redis.", (b) => b.clients.size],
  ["pinned", "Clients with a connection of their own.", (b) => b.pins.size],
  ["waiting", "Clients that wait for a master.", (b) => b.held.size],
  ["held_total", "Clients that have waited for a master.", (b) => b.meter.held],
  ["replayed_total", "Requests sent again to the next master.", (b) => b.meter.replayed],
  ["unknown_total", "Requests answered with -UNKNOWNRESULT.", (b) => b.meter.unknown],
  ["unavailable_total", "Requests answered with -UNAVAILABLE.", (b) => b.meter.unavailable],
  ["denied_total", "Requests refused by redis-deny or redis-user.", (b) => b.meter.denied],
  ["lost_bytes_total", "Bytes of writes that old masters had and their successors have not.", (b) => b.backend.lostBytes],
];
/** Families by command. */
const BY_COMMAND: [string, string, (m: Meter, row: number) => [labels: string, value: number][]][] = [
  ["calls_total", "Requests answered.", (m, row) => [["", m.calls[row]]]],
  ["errors_total", "Error replies.", (m, row) => [["", m.errors[row]]]],
  ["bytes_out_total", "Bytes of replies.", (m, row) => [["", m.bytes[row]]]],
  ["seconds", "Time to the answer.", (m, row) => SHARES.map((s) => [`,quantile="${s}"`, m.percentile(row, s) / 1000])],
];

const typeOf = (name: string): string => (name.endsWith("_total") ? "counter" : name === "seconds" ? "summary" : "gauge");
/** For the documentation. */
export const METRICS = [...FIGURES, ...BY_COMMAND].map(([name, help]) => ({ name: `redisha_redis_${name}`, type: typeOf(name), help }));

/** The same figures for Prometheus, those that `shown` lets through. */
export function metricsText(boards: readonly Board[], shown: (name: string) => boolean = () => true): string {
  let text = "";
  const family = (name: string, help: string, lines: (b: Board) => [labels: string, value: number][]): void => {
    const full = `redisha_redis_${name}`;
    if (!shown(full) || boards.length === 0) return;
    text += `# HELP ${full} ${help}\n# TYPE ${full} ${typeOf(name)}\n`;
    for (const b of boards) for (const [labels, value] of lines(b)) text += `${full}{proxy="${b.backend.name}"${labels}} ${value}\n`;
  };
  for (const [name, help, of] of FIGURES) family(name, help, (b) => [["", of(b)]]);
  for (const [name, help, of] of BY_COMMAND)
    family(name, help, (b) =>
      usedRows(b).flatMap((r) => of(b.meter, r.id).map(([labels, v]): [string, number] => [`,command="${r.name}"${labels}`, v])),
    );
  return text;
}

/** Commands that were answered, the most asked for first. */
export function usedRows(board: Board): Row[] {
  const { meter } = board;
  return meter.table.all.filter((r) => meter.calls[r.id] > 0).sort((a, b) => meter.calls[b.id] - meter.calls[a.id]);
}
