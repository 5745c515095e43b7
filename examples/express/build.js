// Runs in the build dyno, where devDependencies are installed; they are pruned before the slug is packed.
const fs = require('fs');
const { minify } = require('terser');

async function build() {
  fs.mkdirSync('public', { recursive: true });
  const { code } = await minify(fs.readFileSync('src/client.js', 'utf8'));
  fs.writeFileSync('public/client.js', code);
  fs.writeFileSync('public/index.html', fs.readFileSync('src/index.html', 'utf8'));
  console.log(`built public/ (${code.length} bytes of script)`);
}

build().catch((error) => { console.error(error); process.exit(1); });
