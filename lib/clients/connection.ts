/**
 * Commands about the connection itself: PING ECHO QUIT RESET SELECT HELLO AUTH. PING is warm, the rest COLD.
 * Replies and error texts are those of Redis 7.2 (server.c pingCommand, networking.c helloCommand and resetCommand, acl.c authCommand).
 */
import { ERR, errorLine, wrongNumber } from "../resp/errors.ts";
import type { Runs } from "./bind.ts";
import type { Call } from "./call.ts";
import {
  CLIENT_EXTRA,
  CLIENT_SUBSCRIBED,
  FLAG_CACHING,
  FLAG_CLOSE_AFTER_REPLY,
  FLAG_MASTER,
  FLAG_MONITOR,
  FLAG_NO_EVICT,
  FLAG_NO_TOUCH,
  FLAG_REPLICA,
  FLAG_REPLY_OFF,
  FLAG_REPLY_SKIP,
  FLAG_REPLY_SKIP_NEXT,
  type Client,
} from "./client.ts";
import type { Service } from "./service.ts";

const NO_PASSWORD_SET = errorLine(
  "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
);
const BAD_VERSION = errorLine("ERR Protocol version is not an integer or out of range");
const HELLO_NO_AUTH = errorLine(
  "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be " +
    "used to authenticate the client and select the RESP protocol version at the same time",
);
const NOT_NORMAL = errorLine("ERR can only reset normal client connections");
export const BAD_NAME = errorLine("ERR Client names cannot contain spaces, newlines or special characters.");

export function connectionCommands(service: Service): Runs {
  return {
    ping,
    echo: (call) => call.out.bulk(call.buf, call.s(1), call.e(1)),
    quit: (call) => {
      call.out.ok();
      call.client.flags |= FLAG_CLOSE_AFTER_REPLY;
    },
    reset: (call) => reset(service, call),
    hello: (call) => hello(service, call),
    auth: (call) => auth(service, call),
    select: (call) => {
      const index = call.integerOrFail(1);
      if (Number.isNaN(index)) return;
      if (!service.mode.select(call.client, index)) return call.out.error(ERR.dbOutOfRange);
      call.out.ok();
    },
  };
}

function ping(call: Call): void {
  if (call.argc > 2) return call.out.error(wrongNumber("ping"));
  if (call.client.gates & CLIENT_SUBSCRIBED && call.out.resp === 2) {
    call.out.array(2);
    call.out.bulkText("pong");
    if (call.argc === 1) call.out.bulkText("");
    else call.out.bulk(call.buf, call.s(1), call.e(1));
  } else if (call.argc === 1) call.out.pong();
  else call.out.bulk(call.buf, call.s(1), call.e(1));
}

/** True when every byte of a client's name or library is printable and no blank: CLIENT LIST is split at blanks. */
export function isPlainWord(text: string): boolean {
  return /^[!-~]*$/.test(text);
}

function hello(service: Service, call: Call): void {
  const { client, out } = call;
  let version = 0;
  if (call.argc >= 2) {
    version = call.integer(1);
    if (Number.isNaN(version)) return out.error(BAD_VERSION);
    if (version < 2 || version > 3) return out.error(ERR.noProto);
  }
  let user: string | null = null;
  let password = "";
  let name: string | null = null;
  for (let i = 2; i < call.argc; i++) {
    const more = call.argc - 1 - i;
    if (call.is(i, "auth") && more >= 2) {
      user = call.text(i + 1);
      password = call.text(i + 2);
      i += 2;
    } else if (call.is(i, "setname") && more >= 1) {
      name = call.text(++i);
      if (!isPlainWord(name)) return out.error(BAD_NAME);
    } else return out.errorText(`ERR Syntax error in HELLO option '${call.text(i)}'`);
  }
  if (user !== null && !service.users.authenticate(client, user, password, call.text(0))) return out.error(ERR.wrongPass);
  if (!client.authenticated) return out.error(HELLO_NO_AUTH);
  if (name !== null) client.name = name;
  if (version !== 0) out.resp = version as 2 | 3;
  const { sentinel } = service.settings;
  out.map(sentinel ? 6 : 7);
  out.bulkText("server");
  out.bulkText("redis");
  out.bulkText("version");
  out.bulkText(service.settings.version);
  out.bulkText("proto");
  out.int(out.resp);
  out.bulkText("id");
  out.int(client.id);
  out.bulkText("mode");
  out.bulkText(sentinel ? "sentinel" : "standalone");
  if (!sentinel) {
    out.bulkText("role");
    out.bulkText(service.mode.role());
  }
  out.bulkText("modules");
  out.array(0);
}

function auth(service: Service, call: Call): void {
  const { out } = call;
  if (call.argc > 3) return out.error(ERR.syntax);
  const { users } = service;
  if (call.argc === 2 && users.default.noPass) return out.error(NO_PASSWORD_SET);
  const name = call.argc === 2 ? "default" : call.text(1);
  if (users.authenticate(call.client, name, call.text(call.argc - 1), call.text(0))) out.ok();
  else out.error(ERR.wrongPass);
}

function reset(service: Service, call: Call): void {
  const { client, out } = call;
  if (client.flags & FLAG_MASTER || (client.flags & FLAG_REPLICA && !(client.flags & FLAG_MONITOR))) return out.error(NOT_NORMAL);
  clearConnection(service, client);
  out.status("RESET");
}

/** The client as if it had just connected; the library it named stays. Redis networking.c clearClientConnectionState. */
function clearConnection(service: Service, client: Client): void {
  service.monitor.forget(client);
  service.tracking.disable(client);
  service.mode.select(client, 0);
  client.out.resp = 2;
  client.out.muted = false;
  service.users.welcome(client);
  service.transactions.discard(client);
  service.pubsub.unsubscribeAll(client);
  client.name = "";
  client.flags &= ~(FLAG_REPLY_OFF | FLAG_REPLY_SKIP | FLAG_REPLY_SKIP_NEXT | FLAG_NO_TOUCH | FLAG_NO_EVICT | FLAG_CACHING);
  client.gates &= ~CLIENT_EXTRA;
}
