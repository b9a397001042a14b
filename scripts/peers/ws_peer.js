#!/usr/bin/env node
// node's ws: `ws_peer.js client ws://HOST:PORT` or `ws_peer.js server ECHOCLIENT`. The same conversation as that of
// the Python peers, whose conversation.py explains it.
"use strict";

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const assert = require("node:assert");
const WebSocket = require("ws");

const LIMIT = 1 << 20; // bytes of one message that the engine takes
const MESSAGES = [
    "hello", "", "日本語 👩‍👩‍👧", "\u0000", "x".repeat(125), "x".repeat(126), "x".repeat(65535), "x".repeat(65536),
    "👧".repeat(LIMIT / 4), Buffer.alloc(0), Buffer.from([0, 255, 16]), Buffer.alloc(LIMIT, "0123456789"),
];
const FRAGMENTS = [
    ["in ", "three ", "fragments"], [Buffer.from([0]), Buffer.alloc(0), Buffer.from([255])], ["", "", ""],
];

// A connection whose events are kept until they are asked for.
class Peer {
    constructor(socket) {
        this.socket = socket;
        this.events = [];
        const keep = (event) => {
            this.events.push(event);
            if (this.wake) this.wake();
        };
        socket.on("message", (data, isBinary) => keep(isBinary ? data : data.toString()));
        socket.on("pong", (data) => keep({ pong: data.toString() }));
        socket.on("close", (code, reason) => keep({ code, reason: reason.toString() }));
        socket.on("error", (error) => keep({ error: error.message }));
    }

    async next() {
        while (this.events.length === 0) await new Promise((resolve) => { this.wake = resolve; });
        return this.events.shift();
    }

    async expect(event) { assert.deepStrictEqual(await this.next(), event); }
}

async function exchange(peer) {
    for (const message of MESSAGES) {
        peer.socket.send(message);
        await peer.expect(message);
    }
    for (const parts of FRAGMENTS) {
        for (const [index, part] of parts.entries()) {
            peer.socket.send(part, { fin: index === parts.length - 1 });
            peer.socket.ping("between");
        }
        const events = [];
        for (let count = 0; count < parts.length + 1; count++) events.push(await peer.next());
        assert.strictEqual(events.filter((event) => event.pong === "between").length, parts.length);
        const whole = typeof parts[0] === "string" ? parts.join("") : Buffer.concat(parts);
        assert.deepStrictEqual(events.filter((event) => event.pong === undefined), [whole]);
    }
    for (let number = 0; number < 100; number++) peer.socket.send(String(number));
    for (let number = 0; number < 100; number++) await peer.expect(String(number));
}

async function connect(url, subprotocols) {
    const socket = new WebSocket(url, subprotocols);
    const peer = new Peer(socket);
    await once(socket, "open");
    return peer;
}

async function asClient(address) {
    let peer = await connect(`${address}/echo`, ["chat", "superchat"]);
    assert.strictEqual(peer.socket.protocol, "chat");
    await exchange(peer);
    peer.socket.close(4001, "the peer is done");
    assert.strictEqual((await peer.next()).code, 4001);

    const reason = "schönen Tag noch";
    peer = await connect(`${address}/close?code=4002&reason=${encodeURIComponent(reason)}`, []);
    assert.strictEqual(peer.socket.protocol, "");
    await peer.expect({ code: 4002, reason });

    peer = await connect(`${address}/echo`, []);
    peer.socket.send(Buffer.alloc(LIMIT + 1));
    assert.strictEqual((await peer.next()).code, 1009);
}

async function asServer(program) {
    const server = new WebSocket.Server({
        host: "127.0.0.1", port: 0, handleProtocols: (offered) => (offered.has("superchat") ? "superchat" : false),
    });
    await once(server, "listening");
    const conversations = [
        [async (peer) => {
            assert.strictEqual(peer.socket.protocol, "superchat");
            await exchange(peer);
            peer.socket.close(4001, "the peer is done");
            assert.strictEqual((await peer.next()).code, 4001);
        }, "closed 4001 the peer is done"],
        [async (peer) => {
            peer.socket.send("close 4002 schönen Tag noch");
            await peer.expect({ code: 4002, reason: "schönen Tag noch" });
        }, "closed 4002 schönen Tag noch"],
    ];
    for (const [conversation, told] of conversations) {
        const url = `ws://127.0.0.1:${server.address().port}/`;
        const client = spawn(program, ["once", url, "chat", "superchat"], { stdio: ["ignore", "pipe", "inherit"] });
        process.once("exit", () => client.kill());
        let said = "";
        client.stdout.on("data", (data) => { said += data; });
        const ended = once(client, "close");
        const early = ended.then(() => { throw new Error("EchoClient ended before it connected"); });
        early.catch(() => {});
        const [socket] = await Promise.race([once(server, "connection"), early]);
        await conversation(new Peer(socket));
        const [status] = await ended;
        assert.strictEqual(said, `subprotocol superchat\n${told}\n`);
        assert.strictEqual(status, 0);
    }
    server.close();
}

const [side, peer] = process.argv.slice(2);
setTimeout(() => {
    console.error("not done after 25 s");
    process.exit(1);
}, 25000).unref();
(side === "client" ? asClient(peer) : asServer(peer)).catch((error) => {
    console.error(error.message);
    process.exit(1);
});
