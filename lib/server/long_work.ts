/** Which long works a server has under way, asked from its parts: what progress.ts shows. Cold. */
import { isatty } from "node:tty";
import type { Aof } from "./persistence/aof/aof.ts";
import type { Persistence } from "./persistence/persistence.ts";
import type { Replication } from "./replication/replication.ts";
import { Progress, type Work } from "./progress.ts";
import type { Server } from "./server.ts";
import { clock, resyncClock } from "../time/clock.ts";

const LOOK_MS = 250;

function longWorks(persistence: Persistence, aof: Aof, replication: Replication): Work[] {
  const works: Work[] = [];
  const { loading, job } = persistence;
  // A load writes its lines itself, into a log; on a terminal it has the bar.
  if (loading !== null)
    works.push({ name: "loading", title: "Loading", done: loading.source.offset, total: loading.totalBytes, unit: "bytes", speaks: true });
  if (job !== null) {
    const [name, title] = persistence.savingFile
      ? ["save", "Saving"]
      : aof.isRewriting
        ? ["rewrite", "Rewriting the append only file"]
        : ["sync_out", "Copying the data to replicas"];
    works.push({ name, title, done: job.snapshot.processed, total: job.snapshot.total, unit: "keys", speaks: false });
  }
  const link = replication.link;
  if (link?.inTransfer) {
    const { total, read } = link.progress;
    works.push({
      name: "sync_in",
      title: "Copying the data from the master",
      done: read,
      total: Math.max(0, total),
      unit: "bytes",
      speaks: false,
    });
  }
  return works;
}

/** Begins to look; works from before the data is loaded until the process ends. */
export function showLongWork(s: Server, background: boolean, persistence: Persistence, aof: Aof, replication: Replication): void {
  const terminal = !background && s.log.target.file === "" && isatty(1);
  const draw = terminal ? (text: string): void => void process.stdout.write(text) : null;
  const progress = new Progress(s.log, draw, () => longWorks(persistence, aof, replication));
  s.addInfo("persistence", () => progress.lines());
  setInterval(() => {
    if (s.loading) resyncClock();
    progress.beat(clock.monoMs);
  }, LOOK_MS).unref();
}
