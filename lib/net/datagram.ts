/** Sending datagrams over UDP: log lines. Best effort, as UDP is: what cannot be sent is dropped. COLD. */

export interface DatagramSink {
  send(text: string): void;
  close(): void;
}

/** A sink for host:port. Text is latin1. Lines sent before the socket is open wait, up to 64 of them. */
export function udpSink(host: string, port: number): DatagramSink {
  let socket: { send(data: Buffer, port: number, host: string): unknown; close(): void } | null = null;
  let closed = false;
  const waiting: Buffer[] = [];
  const now = (b: Buffer): void => {
    try {
      socket!.send(b, port, host);
    } catch {
      // no receiver, no route: the line is lost
    }
  };
  Bun.udpSocket({ hostname: host.includes(":") ? "::" : "0.0.0.0" }).then(
    (s) => {
      if (closed) return s.close();
      socket = s;
      for (const b of waiting.splice(0)) now(b);
    },
    () => {
      closed = true;
    },
  );
  return {
    send(text) {
      const b = Buffer.from(text, "latin1");
      if (socket !== null) now(b);
      else if (!closed && waiting.length < 64) waiting.push(b);
    },
    close() {
      closed = true;
      socket?.close();
    },
  };
}
