const express = require('express');

const app = express();
const port = process.env.PORT || 5000;

app.set('trust proxy', true);
app.use(express.static('public'));
app.get('/where', (request, response) => {
  response.json({ dyno: process.env.DYNO || 'no dyno', protocol: request.protocol, node: process.version });
});

const server = app.listen(port, () => console.log(`listening on ${port}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
