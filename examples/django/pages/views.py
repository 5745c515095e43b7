import os

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def index(request: HttpRequest) -> HttpResponse:
    greeting = os.environ.get("GREETING", "no .profile ran")
    return render(request, "pages/index.html", {"greeting": greeting, "dyno": os.environ.get("DYNO", "no dyno")})


def health(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")
