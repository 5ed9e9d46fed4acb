/**
 * A script in the master's stream that does not end soon, on a replica of ours and of the original: others are answered BUSY meanwhile, nobody
 * can kill it, nothing of the stream overtakes it, and it counts once, even when the link is cut while it runs. The master is a few lines
 * here: masters of today send what scripts did, those before Redis 5 sent the scripts.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { hasRedis, startServer, until, type Kind } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

setDefaultTimeout(30000);

const REPLID = "a".repeat(40);
const EMPTY_RDB = Buffer.concat([Buffer.from("REDIS0009\xff", "latin1"), Buffer.alloc(8)]);
/** Runs for half a second after its first write. */
const LONG = `redis.call('incr', KEYS[1])
  local function now() local t = redis.call('time') return t[1] * 1000 + t[2] / 1000 end
  local stop = now() + 500
  while now() < stop do end
  return redis.call('incr', KEYS[1])`;

function resp(...args: (string | number)[]): string {
  return `*${args.length}\r\n${args.map((a) => `$${String(a).length}\r\n${a}\r\n`).join("")}`;
}

/** A master that says what it is told. */
class FakeMaster {
  private socket: import("bun").Socket<undefined> | null = null;
  private readonly listener: import("bun").TCPSocketListener<undefined>;
  /** Bytes of the stream. */
  offset = 0;
  /** What each PSYNC asked for. */
  readonly asked: string[] = [];

  constructor() {
    this.listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          this.socket = socket;
        },
        data: (socket, chunk) => this.heard(socket, chunk.toString("latin1")),
      },
    });
  }
  get port(): number {
    return this.listener.port;
  }
  private heard(socket: import("bun").Socket<undefined>, text: string): void {
    for (const command of text.split("*").slice(1)) {
      const words = command.split("\r\n").filter((w) => w !== "" && !/^(\$|\d+$)/.test(w));
      const name = words[0].toUpperCase();
      if (name === "PING") socket.write("+PONG\r\n");
      else if (name === "PSYNC") {
        const from = command.split("\r\n").at(-2)!;
        this.asked.push(from);
        if (from === "-1") socket.write(Buffer.concat([Buffer.from(`+FULLRESYNC ${REPLID} 0\r\n$${EMPTY_RDB.length}\r\n`), EMPTY_RDB]));
        else socket.write("+CONTINUE\r\n");
      } else if (words[1]?.toUpperCase() !== "ACK") socket.write("+OK\r\n");
    }
  }
  send(...commands: (string | number)[][]): void {
    const text = commands.map((c) => resp(...c)).join("");
    this.offset += text.length;
    this.socket!.write(text);
  }
  cut(): void {
    this.socket!.end();
  }
  stop(): void {
    this.listener.stop(true);
  }
}

for (const kind of ["redisha", ...(hasRedis ? ["redis"] : [])] as Kind[])
  describe(`a replica (${kind})`, () => {
    for (const form of ["alone", "in a transaction", "and then the link is cut"])
      test(`a long script of the master's, ${form}`, async () => {
        const master = new FakeMaster();
        await using replica = await startServer(kind, { "busy-reply-threshold": 10, replicaof: `127.0.0.1 ${master.port}` });
        const wire = await Wire.connect(replica.port);
        await until("the link", async () => (await replica.info("replication"))["master_link_status"] === "up");
        const script = ["EVAL", LONG, 1, "n"];
        const before = ["SELECT", 0];
        if (form === "in a transaction") master.send(before, ["MULTI"], ["INCR", "n"], script, ["INCR", "n"], ["EXEC"], ["INCR", "n"]);
        else master.send(before, ["INCR", "n"], script, ["INCR", "n"], ["INCR", "n"]);
        await until("BUSY", async () => (await wire.do("GET", "n")).startsWith("-BUSY"));
        expect(await wire.do("SCRIPT", "KILL")).toStartWith("-UNKILLABLE");
        if (form.includes("cut")) {
          master.cut();
          await until("another link", () => master.asked.length > 1);
          expect(master.asked[1]).toBe(String(master.offset + 1));
        }
        await until("the end of the script", async () => (await wire.do("GET", "n")) === '"5"');
        await until("the offset", async () => Number((await replica.info("replication"))["slave_repl_offset"]) === master.offset);
        expect(await wire.do("SCRIPT", "KILL")).toStartWith("-NOTBUSY");
        master.send(["INCR", "n"]);
        await until("what follows", async () => (await wire.do("GET", "n")) === '"6"');
        wire.close();
        master.stop();
      });
  });
