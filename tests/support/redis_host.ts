/**
 * The smallest server mode: everything of lib/cli around a listener that answers every line with +PONG. For the tests of process life, which
 * are the same for server and Sentinel. Started as `bun tests/support/redis_host.ts [arguments]`.
 */
import { beginRedis } from "../../lib/cli/redis_process.ts";
import { selectMode } from "../../lib/cli/mode.ts";
import { ownCommandLine } from "../../lib/cli/self.ts";
import { listen } from "../../lib/net/listen.ts";

const { argv0, args } = ownCommandLine();
const host = await beginRedis(selectMode(argv0, args), {
  sections: () => [{ title: "INFO OUTPUT", text: "# Server\nredis_version:7.2.4" }],
});
const port = host.config.number("port");
const hostname = host.config.special("bind")[0]!;
try {
  listen({
    hostname,
    port,
    accept: () => null,
    handler: {
      open() {},
      data(conn, chunk) {
        const word = chunk.toString("latin1").trim();
        if (word === "segfault") host.crash.signal("SIGSEGV");
        if (word === "throw") throw new Error("a bug of ours");
        if (word === "reject") void Promise.reject(new Error("a lost promise"));
        conn.out.pong();
        conn.flush();
      },
      drained() {},
      end: (conn) => conn.closeAfterFlush(),
      close() {},
    },
  });
} catch (e) {
  host.fail(`Failed listening on port ${port} (tcp), aborting: ${(e as { code?: string }).code}`);
}
host.onShutdown(() => host.end(0));
host.ready();
