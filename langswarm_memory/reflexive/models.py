"""The lesson, under the name that its module had."""

from .lesson import Lesson as Lesson
