/** Every command function of the server mode, by row name, and their binding to the table. Cold, once at start. */
import { bindRows, type Runs } from "../clients/bind.ts";
import { bitfieldRuns } from "../commands/bitfield.ts";
import { bitmapRuns } from "../commands/bitmap.ts";
import { commandRuns, helpReply } from "../commands/command_info.ts";
import { genericRuns } from "../commands/generic.ts";
import { hashRuns } from "../commands/hash.ts";
import { geoRuns } from "../commands/geo.ts";
import { hyperloglogRuns } from "../commands/hyperloglog.ts";
import { lcsRuns } from "../commands/lcs.ts";
import { listRuns } from "../commands/list.ts";
import { listWaitRuns } from "../commands/list_wait.ts";
import { memoryRuns } from "../commands/memory.ts";
import { setRuns } from "../commands/set.ts";
import { sortRuns } from "../commands/sort.ts";
import { KEY } from "../commands/table/row.ts";
import { streamRuns } from "../commands/stream.ts";
import { streamGroupRuns } from "../commands/stream_group.ts";
import { streamInfoRuns } from "../commands/stream_info.ts";
import { streamReadRuns } from "../commands/stream_read.ts";
import { stringRuns } from "../commands/string.ts";
import { zsetRuns } from "../commands/zset.ts";
import { zsetAlgebraRuns } from "../commands/zset_algebra.ts";
import { zsetPopRuns } from "../commands/zset_pop.ts";
import { rangeRuns } from "../commands/zset_range.ts";
import { rowTable } from "../commands/table/index.ts";
import { debugRuns } from "./debug.ts";
import { infoRuns } from "./info.ts";
import { serverRuns } from "./commands.ts";
import { memoryCommandRuns } from "./memory_commands.ts";
import { unsupportedRuns } from "./unsupported_commands.ts";
import type { Server } from "./server.ts";

/** Binds all; `more` are the runs of replication and persistence. */
export function bindServerCommands(server: Server, ...more: Runs[]): void {
  const table = rowTable("server");
  const runs: Record<string, Runs[string]> = {
    ...server.service.commands(),
    ...stringRuns,
    ...lcsRuns,
    ...bitmapRuns,
    ...bitfieldRuns,
    ...hyperloglogRuns,
    ...geoRuns,
    ...hashRuns,
    ...setRuns,
    ...listRuns,
    ...listWaitRuns(server.service.blocking),
    ...zsetRuns,
    ...rangeRuns,
    ...zsetAlgebraRuns,
    ...zsetPopRuns(server.service.blocking),
    ...streamRuns(server.service.blocking),
    ...streamReadRuns(server.service.blocking),
    ...streamGroupRuns(server.service.blocking),
    ...streamInfoRuns,
    ...genericRuns(server.databases),
    ...sortRuns((c) => server.service.users.mayReadAllKeys(c, KEY.access)),
    ...memoryRuns,
    ...serverRuns(server),
    ...memoryCommandRuns(server),
    ...unsupportedRuns(server, table),
    ...infoRuns(server),
    ...debugRuns(server),
    ...commandRuns(table),
  };
  for (const part of more) Object.assign(runs, part);
  const renamed = new Map(server.config.renames.map(([from, to]) => [from.toLowerCase(), to.toLowerCase()]));
  const unknown = bindRows(server.dispatcher, table.all, runs, { help: (row, call) => helpReply(row, call.out), renamed });
  if (unknown.length > 0) throw new Error(`functions without a row: ${unknown.join(", ")}`);
}
