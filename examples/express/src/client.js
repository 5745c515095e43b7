// Asks the server which dyno answered.
async function showWhere() {
  const response = await fetch('/where');
  const answer = await response.json();
  document.getElementById('where').textContent = `Served by ${answer.dyno}`;
}

showWhere();
