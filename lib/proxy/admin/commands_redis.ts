/** `show redis ...` and `set redis failover`: what mode redis knows and does (redis/report.ts, planned.ts). Rows of the Runtime API. COLD. */
import type { Board } from "../redis/board.ts";
import { bigText, boardsOf, commandsText, heldText, hotKeysText, pinnedText, slowText, trafficOf } from "../redis/report.ts";
import { type Call, type Command, command } from "./command.ts";

const show =
  (text: (board: Board) => string): Command["run"] =>
  ({ engine }) =>
    boardsOf(engine).map(text).join("\n") || "No section is in mode redis.\n";

/** Begins in the background: how it ends is in the log. */
function failover({ engine, args }: Call): string {
  const back = engine.backends.get(args[3] ?? "");
  if (back === undefined) return "No such backend.\n";
  if (engine.failover === null || !back.byAuthority) return "This backend follows no Redis master.\n";
  engine.failover(back);
  return "The failover begins; the log tells how it ends.\n";
}

export const REDIS: Command[] = [
  command("show redis big", "the last big replies (redisha)", 0, show(bigText)),
  command("show redis commands", "calls, errors and times by command (redisha)", 0, show(commandsText)),
  command("show redis held", "what waits, and what failovers did to requests (redisha)", 0, show(heldText)),
  command("show redis hotkeys", "keys asked for most (redisha)", 0, show(hotKeysText)),
  command("show redis pinned", "clients with a connection of their own (redisha)", 0, show(pinnedText)),
  command("show redis slow", "the last slow requests (redisha)", 0, show(slowText)),
  command(
    "show redis traffic",
    "what the dashboard shows of mode redis, as JSON (redisha)",
    0,
    ({ engine }) => `${JSON.stringify(boardsOf(engine).map(trafficOf))}\n`,
  ),
  command("set redis failover <backend>", "a failover without losses (redisha)", 2, failover),
];
