const fs = require('fs');
const http = require('http');
const { WebSocketServer } = require('ws');

const page = fs.readFileSync('index.html');
const port = process.env.PORT || 5000;

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.end(page);
});
const chat = new WebSocketServer({ server });

chat.on('connection', (socket) => {
  socket.send(`welcome, this is ${process.env.DYNO || 'no dyno'}`);
  socket.on('error', () => socket.terminate());
  socket.on('message', (data, isBinary) => {
    for (const client of chat.clients) {
      if (client.readyState === client.OPEN) client.send(data, { binary: isBinary });
    }
  });
});

// The router ends a WebSocket that is silent for 55 seconds.
setInterval(() => chat.clients.forEach((client) => client.ping()), 25000).unref();

server.listen(port, () => console.log(`listening on ${port}`));
process.on('SIGTERM', () => {
  for (const client of chat.clients) client.close(1001, 'restarting');
  server.close(() => process.exit(0));
});
