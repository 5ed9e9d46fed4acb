/**
 * The commands of a Sentinel that are neither the engine's nor lib/clients': INFO, ROLE, SHUTDOWN, SENTINEL PENDING-SCRIPTS. COLD.
 * One function a row, found by the row's name (server.ts binds them).
 */
import type { Call } from "../clients/call.ts";
import { ERR } from "../resp/errors.ts";
import { infoText } from "./info.ts";
import type { SentinelServer } from "./server.ts";

export function ownRuns(server: SentinelServer): Record<string, (call: Call) => void> {
  return {
    role: (call) => {
      const { masters } = server.options.engine.state;
      call.out.array(2);
      call.out.bulkText("sentinel");
      call.out.array(masters.size);
      for (const name of masters.keys()) call.out.bulkText(name);
    },
    info: (call) => {
      const sections: string[] = [];
      for (let i = 1; i < call.argc; i++) sections.push(call.lower(i));
      call.out.bulkText(infoText(server, sections));
    },
    shutdown: (call) => shutdown(server, call),
    "sentinel|pending-scripts": (call) => pendingScripts(server, call),
  };
}

function shutdown(server: SentinelServer, call: Call): void {
  for (let i = 1; i < call.argc; i++) {
    if (call.is(i, "abort")) return call.out.errorText("ERR No shutdown in progress.");
    if (!["nosave", "save", "now", "force"].includes(call.lower(i))) return call.out.error(ERR.syntax);
  }
  server.options.shutdown();
}

/** Redis: sentinelPendingScriptsCommand. */
function pendingScripts(server: SentinelServer, call: Call): void {
  const { out } = call;
  const { jobs } = server.options.scripts;
  const now = performance.now();
  out.array(jobs.length);
  for (const job of jobs) {
    out.map(5);
    out.bulkText("argv");
    out.array(job.argv.length);
    for (const word of job.argv) out.bulkText(word);
    const pair = (key: string, value: string | number): void => {
      out.bulkText(key);
      out.bulkText(String(value));
    };
    pair("flags", job.running ? "running" : "scheduled");
    pair("pid", job.pid);
    if (job.running) pair("run-time", Math.floor(now - job.atMs));
    else pair("run-delay", job.atMs === 0 ? 0 : Math.max(0, Math.floor(job.atMs - now)));
    pair("retry-num", job.runs);
  }
}
