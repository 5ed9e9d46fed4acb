/**
 * The master CLI of -S (HAProxy management guide 9.4). One process is master and worker here, so that `@1`, `@!PID` and `@master` all lead to
 * it; `reload` starts the successor and says how that went. COLD.
 */
import { haproxyVersionNumber } from "../../cli/version.ts";
import type { Engine } from "../engine.ts";
import { succeed } from "../life.ts";
import type { Call } from "./command.ts";
import { run } from "./table.ts";

/** The reply when the words are the master's own, else null. */
export async function masterCommand(call: Call): Promise<string | null> {
  const { args, engine } = call;
  if (/^@(master|!?\d+)$/.test(args[0]!)) {
    args.shift();
    return args.length === 0 ? "" : run(call);
  }
  if (args[0] === "reload" || args[0] === "hard-reload") {
    const error = await succeed(engine);
    return error === null ? "Success=1\n" : `Success=0\n--\n${error}\n`;
  }
  return args[0] === "show" && args[1] === "proc" ? processes(engine) : null;
}

function processes(engine: Engine): string {
  const s = Math.floor((Date.now() - engine.startedAt) / 1000);
  const two = (n: number): string => String(n).padStart(2, "0");
  const up = `${Math.floor(s / 86400)}d${two(Math.floor(s / 3600) % 24)}h${two(Math.floor(s / 60) % 60)}m${two(s % 60)}s`;
  const row = (...cells: string[]): string => `${cells.map((c, i) => (i === cells.length - 1 ? c : c.padEnd(16))).join("")}\n`;
  const version = haproxyVersionNumber();
  return (
    row("#<PID>", "<type>", "<reloads>", "<uptime>", "<version>") +
    row(String(process.pid), "master", "0", up, version) +
    "# workers\n" +
    row(String(process.pid), "worker", "0", up, version) +
    "# old workers\n# programs\n"
  );
}
