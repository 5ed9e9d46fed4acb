/** Servers that no `server` line names: told by the Sentinels or the cluster that the file names. COLD. */
import { newServerOptions, type ServerConfig } from "../config/haproxy_model.ts";
import { showAddress, type Address } from "../fleet/hello.ts";
import { Server, type Backend } from "./state.ts";
import { tlsOfServer } from "./tls.ts";

/** A server at `address` with what default-server lines say, without checks, in the backend's list. */
export function learntServer(backend: Backend, address: Address): Server {
  const config: ServerConfig = {
    ...newServerOptions(),
    ...backend.config.defaultServer,
    file: backend.config.file,
    line: backend.config.line,
    name: showAddress(address),
    host: address.host,
    port: address.port,
    portIsOffset: false,
    dnsName: "",
    unresolved: false,
    path: "",
    check: false,
    interMs: 1000,
  };
  const server = new Server(config, backend, backend.servers.length, false);
  const tls = config.ssl ? tlsOfServer(config) : null;
  if (tls !== null && "tls" in tls) server.tls = tls.tls;
  backend.servers.push(server);
  return server;
}
