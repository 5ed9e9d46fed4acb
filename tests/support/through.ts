/**
 * THROUGH_PROXY=1 puts our proxy in mode redis between a test file and the server it tests: the same file, the same answers.
 * tests/e2e/through_proxy.test.ts runs a few files that way in every run.
 */
import { startServer, until, type Kind, type Program, type StartOptions } from "./programs.ts";
import { startProxy } from "./proxy.ts";

export const throughProxy = (process.env["THROUGH_PROXY"] ?? "") !== "";

/** A proxy in front of `server`, which ends with it. */
export async function inFrontOf(server: Program, more = ""): Promise<Program> {
  const proxy = await startProxy(
    "redisha",
    `defaults\nmode redis\ntimeout connect 3s\ntimeout client 1h\ntimeout server 1h\nlisten redis\nbind 127.0.0.1:{port}\n${more}server s0 127.0.0.1:${server.port}\n`,
  );
  await until("the proxy to serve", async () => (await proxy.cli("ping")) === "PONG");
  const end = proxy[Symbol.asyncDispose].bind(proxy);
  return Object.assign(proxy, {
    [Symbol.asyncDispose]: async () => {
      await end();
      await server[Symbol.asyncDispose]();
    },
  });
}

/** A server, or with THROUGH_PROXY the way to it. */
export async function startThrough(
  kind: Kind,
  conf: Record<string, string | number | (string | number)[]> = {},
  options: StartOptions = {},
): Promise<Program> {
  const server = await startServer(kind, conf, options);
  return throughProxy ? await inFrontOf(server) : server;
}
