// Node's ws: ws_server.js PORT
const http = require("http");
const { WebSocketServer } = require("ws");

const members = new Set();
const server = http.createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });

sockets.on("connection", (socket, request) => {
  socket.on("error", () => {});
  if (request.url !== "/broadcast") {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    return;
  }
  members.add(socket);
  socket.on("close", () => members.delete(socket));
  socket.on("message", (data, isBinary) => {
    for (const member of members) member.send(data, { binary: isBinary });
  });
});

server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 1024 });
